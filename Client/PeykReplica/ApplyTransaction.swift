import PeykModel
import PeykSQLite
import Synchronization

extension Replica {
    /// One transaction that changes confirmed state: seals first (rule K1), with the capture triggers muted.
    func applying<T>(
        checkingForeignKeys: Bool = true, _ body: (ApplyContext, Meta) throws -> T
    ) throws -> T {
        try applying(checkingForeignKeys: checkingForeignKeys, before: { _ in }, body)
    }

    /// - Parameter before: runs after the seal and before anything is read: new identity, new schema.
    func applying<T>(
        checkingForeignKeys: Bool = true, before: (Connection) throws -> Void,
        _ body: (ApplyContext, Meta) throws -> T
    ) throws -> T {
        var finished: OverlayIndex?
        let result = try changing(checkingForeignKeys: checkingForeignKeys) { connection in
            try muted(connection) {
                try before(connection)
                let context = try ApplyContext(connection, schema, overlay)
                let result = try body(context, Meta(connection: connection))
                try context.overlay.store(connection)
                finished = context.overlay
                return result
            }
        }
        // Only what was committed may be remembered.
        overlay.index.withLock { $0 = finished }
        return result
    }
}
