import PeykFailpoint
import PeykModel
import Synchronization

/// Where IT's acts are written beside the store, so that a restore of an older store does not undo them (rule I9):
/// enrolments, used invites, grants, revocations, schema changes, and the server's own commits, which no device has.
public protocol AdminJournal: Sendable {
    /// Appends one line, without a newline in it. Durable when this returns.
    func append(_ line: [UInt8]) throws
    /// Takes back the last line, which is this one: its act was not carried out. Durable when this returns.
    func takeBack(_ line: [UInt8]) throws
    /// All lines, oldest first.
    func lines() throws -> [[UInt8]]
}

/// The reference journal: lines in memory.
public final class MemoryJournal: AdminJournal {
    private let kept = Mutex<[[UInt8]]>([])
    public init() {}
    public func append(_ line: [UInt8]) throws { kept.withLock { $0.append(line) } }
    public func takeBack(_ line: [UInt8]) throws {
        kept.withLock { kept in
            if kept.last == line { kept.removeLast() }
        }
    }
    public func lines() throws -> [[UInt8]] { kept.withLock { $0 } }
}

/// One act: JSON on one line.
public struct JournalLine: Hashable, Sendable {
    /// 1, 2, 3 … over the workspace's whole life, restores included.
    public var number: Int64
    /// Unix milliseconds.
    public var time: Int64
    /// What was done, in a word.
    public var act: String
    /// Documents as the act left them.
    var documents: [Item] = []
    /// A commit of the server's own, sealed, and who did it.
    var body: [UInt8]?
    var user: RecordID?
    var schema: JSON?
    var epoch: Epoch?

    struct Item: Hashable {
        var collection: String
        var key: String
        var value: String
    }

    init(number: Int64 = 0, time: Int64, act: String) {
        self.number = number
        self.time = time
        self.act = act
    }

    mutating func note(_ document: some Document) {
        documents.append(
            Item(collection: type(of: document).collection, key: document.key, value: document.json.text))
    }

    var isEmpty: Bool { documents.isEmpty && body == nil && schema == nil && epoch == nil }

    var json: JSON {
        var members: [String: JSON] = [
            "n": .integer(number), "time": .integer(time), "act": .string(act),
        ]
        if !documents.isEmpty {
            members["documents"] = .array(
                documents.map { ["in": .string($0.collection), "key": .string($0.key), "value": .string($0.value)] })
        }
        members["body"] = body.map { .string($0.hex) }
        members["user"] = user.map { .string($0.description) }
        members["schema"] = schema
        members["epoch"] = epoch.map { .string($0.description) }
        return .object(members)
    }

    public var bytes: [UInt8] { Array(json.text.utf8) }

    /// Nil for what is no line, such as the torn end of a file.
    public init?(_ bytes: [UInt8]) {
        guard let json = try? JSON(parsing: bytes), let number = json["n"]?.integerValue,
            let time = json["time"]?.integerValue, let act = json["act"]?.stringValue
        else { return nil }
        self.init(number: number, time: time, act: act)
        for item in json["documents"]?.arrayValue ?? [] {
            guard let collection = item["in"]?.stringValue, let key = item["key"]?.stringValue,
                let value = item["value"]?.stringValue
            else { return nil }
            documents.append(Item(collection: collection, key: key, value: value))
        }
        body = json["body"]?.stringValue.flatMap { [UInt8](hex: $0) }
        user = json["user"]?.stringValue.flatMap { RecordID($0) }
        schema = json["schema"]
        epoch = json["epoch"]?.stringValue.flatMap { Epoch($0) }
    }
}

/// How far the store has come in the journal.
struct JournalDocument: Document {
    static let collection = "workspace"
    static let key = "journal"
    var key: String { Self.key }
    /// The number of the last line whose act is in the store.
    var last: Int64

    init(last: Int64) { self.last = last }
    var json: JSON { ["last": .integer(last)] }
    init?(json: JSON) {
        guard let last = json["last"]?.integerValue else { return nil }
        self.init(last: last)
    }
}

extension StoreReader {
    /// The number of the last line of the journal whose act is in the store.
    public func journalNumber() throws -> Int64 { try document(JournalDocument.self, JournalDocument.key)?.last ?? 0 }
}

extension Workspace {
    /// One act of IT: a transaction whose line is durable in the journal before the transaction is, and before the
    /// answer (rule I9). Where the transaction fails after that, the line is taken back: whoever asked is told that
    /// nothing was changed. After a crash between the two it is carried out at the next start: nobody was told.
    func act<Result>(
        _ name: String, _ body: (any StoreTransaction, inout JournalLine) throws -> Result
    ) throws -> Result {
        var appended: [UInt8]?
        do {
            return try store.write { transaction in
                var line = JournalLine(time: environment.now(), act: name)
                let result = try body(transaction, &line)
                guard let journal, !line.isEmpty else { return result }
                line.number = try transaction.journalNumber() + 1
                try transaction.set(JournalDocument(last: line.number))
                Failpoint.hit("server.journal.before-append")
                try journal.append(line.bytes)
                appended = line.bytes
                Failpoint.hit("server.journal.appended")
                return result
            }
        } catch {
            if let journal, let appended { try takeBack(appended, journal) }
            throw error
        }
    }

    private func takeBack(_ line: [UInt8], _ journal: any AdminJournal) throws {
        do {
            try journal.takeBack(line)
        } catch {
            environment.warn("an act that failed stands in the journal, and is carried out at the next start: \(error)")
            throw error
        }
    }

    /// Carries out the acts of the journal that the store does not have: after a restore, or a crash between the
    /// journal and the store.
    ///
    /// - Returns: how many acts there were.
    @discardableResult
    public func replayJournal() throws -> Int {
        let lines = try store.read { try missingLines($0) }
        for line in lines { try store.write { try self.replay(line, $0) } }
        return told(lines)
    }

    /// The same within a transaction.
    @discardableResult
    func replayJournal(_ transaction: any StoreTransaction) throws -> Int {
        let lines = try missingLines(transaction)
        for line in lines { try replay(line, transaction) }
        return told(lines)
    }

    private func missingLines(_ reader: any StoreReader) throws -> [JournalLine] {
        guard let journal else { return [] }
        let last = try reader.journalNumber()
        return try journal.lines().compactMap { JournalLine($0) }.filter { $0.number > last }
            .sorted { $0.number < $1.number }
    }

    private func told(_ lines: [JournalLine]) -> Int {
        if !lines.isEmpty { environment.warn("\(lines.count) acts of the journal were carried out again") }
        return lines.count
    }

    private func replay(_ line: JournalLine, _ transaction: any StoreTransaction) throws {
        if let json = line.schema {
            try replay(schema: json, line, transaction)
        }
        if let epoch = line.epoch {
            var identity = try transaction.workspaceDocument()
            if !identity.lineage.eras.contains(where: { $0.epoch == epoch }) {
                identity.superseded = Set(identity.superseded + [epoch]).sorted()
                try transaction.set(identity)
            }
        }
        for item in line.documents { try replay(item, line, transaction) }
        if let body = line.body.flatMap({ try? CommitBody(decoding: $0) }),
            try transaction.position(of: body.id) == nil
        {
            let committer = try Committer(self, transaction)
            _ = try committer.takeOwn(body, user: line.user)
            try committer.finish()
        }
        try transaction.set(JournalDocument(last: line.number))
    }

    private func replay(schema json: JSON, _ line: JournalLine, _ transaction: any StoreTransaction) throws {
        do {
            let schema = try Schema(json: json)
            if schema.version > transaction.schema.version { try adopt(schema, transaction) }
        } catch let error as SchemaError {
            // Found before anything of it is written.
            environment.warn("line \(line.number) of the journal (\(line.act)) no longer applies: \(error)")
        }
    }

    private func replay(_ item: JournalLine.Item, _ line: JournalLine, _ transaction: any StoreTransaction) throws {
        let bytes = Array(item.value.utf8)
        guard let json = try? JSON(parsing: bytes) else { return }
        switch item.collection {
        case SiteDocument.collection:
            guard var site = SiteDocument(json: json) else { return }
            if var known = try transaction.document(SiteDocument.self, item.key) {
                // What the store knows of it is newer, but for the act itself.
                known.isRevoked = site.isRevoked
                try transaction.set(known)
                return
            }
            // It may hold what the server has lost: it is waited for.
            if site.lastContact == 0 { site.lastContact = line.time }
            site.hasReturned = false
            try transaction.set(site)
        case UserDocument.collection:
            guard var user = UserDocument(json: json) else { return }
            let former = try transaction.document(UserDocument.self, item.key)
            let committer = try Committer(self, transaction)
            // Positions of a history that is gone: the grant holds from here on.
            user.cutGrants(after: committer.head + 1)
            try transaction.set(user)
            if former == nil || former?.grant != user.grant { try committer.note(.grant, user: user.id) }
            try committer.finish()
        default: try transaction.setDocument(item.collection, item.key, bytes)
        }
    }
}

extension UserDocument {
    /// Grants that began at positions which this history does not have begin at `position`.
    mutating func cutGrants(after position: Position) {
        self = UserDocument(
            id: id, name: name, isDisabled: isDisabled,
            grants: grants.map { record in
                var record = record
                record.after = min(record.after, position)
                return record
            })
    }
}
