import PeykFailpoint
import PeykMerge
public import PeykModel
import Synchronization

/// One version of the schema and the position at which it came (rule T2). All are kept: a commit is read under the one
/// that its sealed bytes name.
struct SchemaDocument: Document {
    static let collection = "schema"
    var key: String { Self.key(schema.version) }

    var schema: Schema
    var position: Position

    static func key(_ version: Int64) -> String { version.sortable }

    init(schema: Schema, position: Position) {
        self.schema = schema
        self.position = position
    }

    var json: JSON { ["position": .integer(position), "schema": schema.json] }

    init?(json: JSON) {
        guard let position = json["position"]?.integerValue, let document = json["schema"],
            let schema = try? Schema(json: document)
        else { return nil }
        self.init(schema: schema, position: position)
    }
}

/// Versions that were read once; a version never changes.
final class SchemaVersions: Sendable {
    private let known = Mutex<[Int64: Schema]>([:])

    func schema(_ version: Int64, _ reader: any StoreReader) throws -> Schema? {
        if version == reader.schema.version { return reader.schema }
        if let schema = known.withLock({ $0[version] }) { return schema }
        let key = SchemaDocument.key(version)
        guard let schema = try reader.document(SchemaDocument.self, key)?.schema else { return nil }
        known.withLock { $0[version] = schema }
        return schema
    }
}

extension Workspace {
    /// The next schema, which only adds, retires, and drops what every live device has passed (rule T2). Takes a
    /// position; sessions end and get it with their next welcome.
    ///
    /// - Throws: ``SchemaError`` that says what stands against it; then nothing was changed.
    public func adopt(_ schema: Schema) throws {
        try act("schema") { transaction, line in
            try checkDrops(schema, transaction)
            try adopt(schema, transaction)
            line.schema = schema.json
            Failpoint.hit("server.schema.before-commit")
        }
    }

    /// The next schema, within a transaction; also one that the journal brings back (rule I9).
    func adopt(_ schema: Schema, _ transaction: any StoreTransaction) throws {
        let present = transaction.schema
        try present.checkSuccessor(schema)
        let committer = try Committer(self, transaction)
        // A workspace of an older program has not kept the version that goes.
        if try transaction.document(SchemaDocument.self, SchemaDocument.key(present.version)) == nil {
            try transaction.set(SchemaDocument(schema: present, position: 0))
        }
        try transaction.adopt(schema)
        Failpoint.hit("server.schema.adopted")
        try committer.note(.schema, user: nil)
        try transaction.set(SchemaDocument(schema: schema, position: committer.head))
        // What was sealed under it has waited for it (rule A3).
        try committer.release()
        try committer.finish()
    }

    /// Rule T2: what is dropped was retired before, and each live device has passed the retirement, so that none has
    /// unsynced edits of the old shape.
    func checkDrops(_ next: Schema, _ reader: any StoreReader) throws {
        let present = reader.schema
        var retired: [(place: String, since: Position)] = []
        for (index, table) in next.tables.enumerated() {
            let old = present.table(at: index)
            if table.isDropped, old?.isDropped != true {
                guard old?.isRetired == true else { throw Self.notRetired(table.name) }
                retired.append((table.name, try retirement(reader) { $0.table(at: index)?.isRetired == true }))
            }
            for (place, field) in table.fields.enumerated() where field.isDropped {
                let former = old.flatMap { $0.fields.indices.contains(place) ? $0.fields[place] : nil }
                guard former?.isDropped != true else { continue }
                let name = "\(table.name).\(field.name)"
                guard former?.isRetired == true else { throw Self.notRetired(name) }
                let since = try retirement(reader) { schema in
                    guard let fields = schema.table(at: index)?.fields, fields.indices.contains(place) else {
                        return false
                    }
                    return fields[place].isRetired
                }
                retired.append((name, since))
            }
        }
        for (place, since) in retired {
            let behind = try reader.documents(SiteDocument.self).filter { $0.isLive && $0.passed < since }
                .sorted { ($0.passed, $0.site) < ($1.passed, $1.site) }
            guard behind.isEmpty else {
                throw SchemaError(place: place, problem: try holding(behind, reader))
            }
        }
    }

    private static func notRetired(_ place: String) -> SchemaError {
        SchemaError(place: place, problem: "is in use; retire it first, and drop it when every device has synced since")
    }

    /// The position of the first version in which something was retired.
    private func retirement(_ reader: any StoreReader, _ isRetired: (Schema) -> Bool) throws -> Position {
        try reader.documents(SchemaDocument.self).first { isRetired($0.schema) }?.position ?? 0
    }

    private func holding(_ sites: [SiteDocument], _ reader: any StoreReader) throws -> String {
        let names = try sites.prefix(5).map { site in
            let user = try reader.document(UserDocument.self, site.user.description)?.name ?? "unknown"
            let edits = site.pending > 0 ? ", \(site.pending) unsynced commits declared" : ""
            return "\(user)’s \(site.deviceName) (\(site.site.short)\(edits))"
        }
        let more = sites.count > names.count ? " and \(sites.count - names.count) more" : ""
        return
            "may still have unsynced edits of the old shape on \(names.joined(separator: ", "))\(more); let them sync, "
            + "or wait for their leases to end, or revoke them"
    }
}

// MARK: - Emptying what was dropped

extension Workspace {
    /// What is still in dropped tables and fields, up to a slice of it; nil where all is empty.
    ///
    /// - Parameter after: where the last look ended.
    func droppedValues(after: inout RecordKey?) throws -> [Change]? {
        let start = after
        let (changes, last) = try store.read { reader -> ([Change]?, RecordKey?) in
            let schema = reader.schema
            guard try reader.collection().emptiedVersion < schema.version else { return (nil, nil) }
            var changes: [Change] = []
            var last: RecordKey?
            // Children before their parents: they are the later tables.
            for (index, table) in schema.tables.enumerated().reversed() {
                guard table.isDropped || table.fields.contains(where: \.isDropped),
                    start.map({ index <= $0.table }) ?? true
                else { continue }
                try reader.records(of: index, after: start?.table == index ? start?.record : nil) { id, record in
                    last = RecordKey(table: index, record: id)
                    if let change = Self.emptying(index, id, record.state.row, table, schema) {
                        changes.append(change)
                    }
                    return changes.count < Self.sliceMax
                }
                if changes.count >= Self.sliceMax { return (changes, last) }
            }
            return (changes.isEmpty ? nil : changes, last)
        }
        after = last ?? start
        return changes
    }

    private static func emptying(
        _ index: Int, _ id: RecordID, _ row: Row, _ table: Table, _ schema: Schema
    ) -> Change? {
        if table.isDropped { return Change(table: index, record: id, kind: .delete) }
        var after = row
        after.emptyDropped(table)
        return Change.make(table: index, record: id, before: row, after: after, in: schema)
    }
}

extension Row {
    /// Dropped fields get their standing value.
    mutating func emptyDropped(_ table: Table) {
        for (index, field) in table.fields.enumerated() where field.isDropped { self[index] = field.standingValue }
    }
}
