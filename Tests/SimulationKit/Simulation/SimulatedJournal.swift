import PeykServer
import SimDisk
import Synchronization

/// The journal of IT's acts as a file of its own: durable once a line is appended, and out of reach while the machine
/// is stopped.
final class SimulatedJournal: AdminJournal {
    struct Unreachable: Error {}

    private let disk: SimulatedDisk
    private let kept = Mutex<[[UInt8]]>([])

    init(_ disk: SimulatedDisk) { self.disk = disk }

    func append(_ line: [UInt8]) throws {
        guard !disk.isStopped else { throw Unreachable() }
        kept.withLock { $0.append(line) }
    }

    func takeBack(_ line: [UInt8]) throws {
        guard !disk.isStopped else { throw Unreachable() }
        kept.withLock { kept in
            if kept.last == line { kept.removeLast() }
        }
    }

    func lines() throws -> [[UInt8]] { kept.withLock { $0 } }
}
