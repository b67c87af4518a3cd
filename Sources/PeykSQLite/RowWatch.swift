internal import CPeykSQLite
import Foundation
import GRDBSQLite

/// One row of a table of the main database, about to change. Good only inside the handler of a ``RowWatch``.
public struct RowChange {
    public enum Kind: Sendable { case insert, update, delete }

    public let kind: Kind
    /// The table's name; SQLite's own copy.
    public let table: UnsafePointer<CChar>
    fileprivate let handle: OpaquePointer

    /// Fills `values` with the row's first `count` columns as they were; for updates and deletes.
    ///
    /// - Returns: false where SQLite cannot give them all.
    public func readOld(into values: UnsafeMutablePointer<OpaquePointer?>, count: Int) -> Bool {
        peyk_old_values(handle, values, Int32(count)) == SQLITE_OK
    }

    /// Fills `values` with the row's first `count` columns as they will be; for inserts and updates.
    public func readNew(into values: UnsafeMutablePointer<OpaquePointer?>, count: Int) -> Bool {
        peyk_new_values(handle, values, Int32(count)) == SQLITE_OK
    }

    /// Bit i is set where `old[i] IS NOT new[i]`; at most 64 values.
    public static func changed(
        _ old: UnsafeMutablePointer<OpaquePointer?>, _ new: UnsafeMutablePointer<OpaquePointer?>, count: Int
    ) -> UInt64 {
        peyk_changed_values(old, new, Int32(count))
    }
}

/// Sees each change of a row that its connection makes, whatever statement, foreign key or REPLACE makes it, before
/// it is made. A statement that fails later takes back what its handler saw; nothing tells the handler.
///
/// The handler must not use the connection.
public final class RowWatch {
    /// Off, a change costs some ten instructions.
    public var isOn = false
    private let handler: (RowChange) -> Void

    public init(_ handler: @escaping (RowChange) -> Void) { self.handler = handler }

    /// False where this SQLite was built without the hook.
    public static var isAvailable: Bool { peyk_has_row_hook() != 0 }

    fileprivate func saw(
        _ handle: OpaquePointer, _ operation: Int32, _ database: UnsafePointer<CChar>, _ table: UnsafePointer<CChar>
    ) {
        guard isOn, strcmp(database, "main") == 0 else { return }
        let kind: RowChange.Kind =
            switch operation {
            case SQLITE_INSERT: .insert
            case SQLITE_UPDATE: .update
            default: .delete
            }
        handler(RowChange(kind: kind, table: table, handle: handle))
    }

    func attach(to handle: OpaquePointer) {
        peyk_watch_rows(
            handle,
            { context, handle, operation, database, table, _, _ in
                guard let context else { return }
                Unmanaged<RowWatch>.fromOpaque(context)._withUnsafeGuaranteedRef {
                    $0.saw(handle, operation, database, table)
                }
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    static func detach(from handle: OpaquePointer) { peyk_watch_rows(handle, nil, nil) }
}

extension Connection {
    /// Switches the triggers of this connection on or off, those of TEMP tables excepted. Statements are prepared
    /// again, so this is nothing for every transaction.
    public func setTriggers(enabled: Bool) throws {
        let code = peyk_set_triggers(handle, enabled ? 1 : 0)
        guard code == SQLITE_OK else { throw Self.error(handle, code, sql: nil) }
    }
}
