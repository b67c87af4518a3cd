import Foundation
import SimulationKit

Simulation.beginProcess()
let command = SimulateCommand(arguments: Array(CommandLine.arguments.dropFirst()))
exit(command.run())
