import PeykServer
import Synchronization

/// Signatures that were made in this process: what made one need not be computed again to check it. Equal bytes, key
/// and signature are valid here exactly if they are anywhere, so worlds may share it; all others are computed. Checking
/// all of them would be a tenth of a run.
final class KnownSignatures: Sendable {
    static let shared = KnownSignatures()

    private let known = Mutex<Set<[UInt8]>>([])
    private static let countMax = 4_096

    func note(_ signature: [UInt8], of bytes: [UInt8], by key: [UInt8]) {
        known.withLock { known in
            if known.count >= Self.countMax { known.removeAll(keepingCapacity: true) }
            // Both have one length each.
            known.insert(signature + key + bytes)
        }
    }

    /// - Parameter environment: what checks the signatures that were not made here.
    func checking(_ environment: ServerEnvironment) -> ServerEnvironment {
        var checked = environment
        checked.isValidSignature = { signature, bytes, key in
            self.known.withLock { $0.contains(signature + key + bytes) }
                || environment.isValidSignature(signature, bytes, key)
        }
        return checked
    }
}
