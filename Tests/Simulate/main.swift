import Foundation
import SimulationKit

let command = SimulateCommand(arguments: Array(CommandLine.arguments.dropFirst()))
exit(command.run())
