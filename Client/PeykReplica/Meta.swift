import PeykModel
import PeykSQLite

/// Typed access to `peyk_meta`: one row a fact. Values are read when asked for; nothing is cached here.
struct Meta {
    let connection: Connection

    /// The rows of `peyk_meta`. Names never change: other versions of the program read the same file.
    enum Key: String, CaseIterable {
        /// Version of the file's layout, ``Replica/layoutVersion``.
        case layout
        case site
        /// The last sealed seq as of the last time that the outbox was trimmed: a floor.
        case seqFloor = "seq"
        /// The clock as of `hlcSeq`; later commits in the outbox raise it.
        case hlc
        case hlcSeq = "hlc_seq"
        /// 1 while the very first load goes straight into the tables: local writes are refused.
        case loading
        case cursor
        case lineage
        case anchorToken = "anchor_token"
        case scope
        case grant
        case schemaJSON = "schema_json"
        case schemaVersion = "schema_version"
        case workspace
        case server
        case fingerprint
        case user
        case userName = "user_name"
        case role
        case deviceName = "device_name"
        case certificate
        case nonce
        case nonceOffered = "nonce_offered"
        case helloNumber = "hello_number"
        case lastAcknowledged = "last_acknowledged"
        case lastMerged = "last_merged"
        case backupHorizon = "backup_horizon"
        case clockOffset = "clock_offset"
        /// Wall clock − boot clock when the offset was learned (rule C4).
        case clockBase = "clock_base"
        case lastSync = "last_sync"
        case head
        case backfill
        /// Ids of own commits under former dots that the anchor does not cover yet (rule C5): 16 bytes each.
        case former
        /// The lineage of the last welcome: differs from `lineage` while a resync after a restore is under way.
        case serverLineage = "server_lineage"
        /// Records fetched ahead of the cursor (rule B1).
        case floors
        /// The highest seq of the present site whose commit the server had already when it gave the site (rule B2).
        case knownUpTo = "known_up_to"
        /// Up to here the outbox was trimmed (rule I10).
        case trimmed
        /// Secondary indexes taken away for the first load, as SQL.
        case indexes
        /// 1: this replica is a restored image, found out by itself; the next hello asks for a new site (rule I3).
        case renew
        /// The public half of the device's key that the certificate is for; absent while it is the first one.
        case deviceKey = "device_key"
        /// Why, when and instead of which site this replica got its present one (rule I3).
        case newSiteReason = "new_site_reason"
        case newSiteAt = "new_site_at"
        case formerSite = "former_site"
        /// 1: the server said `rolled-back`; the next hello tells former tokens (rule I5).
        case tellTokens = "tell_tokens"
        /// Unix milliseconds of the server's last backup as of the last welcome; 0 if it has none (rule I10).
        case lastBackup = "last_backup"
        /// Unix milliseconds of the server at the first welcome.
        case joinedAt = "joined_at"
    }

    /// The number of the statement that each transaction runs a dozen times.
    private static let reading = 2

    func value(_ key: Key) throws -> Value? {
        let statement = try connection.statement(Self.reading) { "SELECT value FROM peyk_meta WHERE key = ?1" }
        try statement.bind(1, .text(key.rawValue))
        defer { statement.reset() }
        return try statement.step() ? statement.value(0) : nil
    }
    func integer(_ key: Key) throws -> Int64? { try value(key)?.integerValue }
    func text(_ key: Key) throws -> String? { try value(key)?.textValue }
    func blob(_ key: Key) throws -> [UInt8]? {
        if case .blob(let bytes)? = try value(key) { bytes } else { nil }
    }

    /// Null removes the row.
    func set(_ key: Key, _ value: Value) throws {
        if value.isNull {
            try connection.run("DELETE FROM peyk_meta WHERE key = ?1", [.text(key.rawValue)])
        } else {
            try connection.run(
                "INSERT INTO peyk_meta(key, value) VALUES(?1, ?2) ON CONFLICT(key) DO UPDATE SET value = excluded.value",
                [.text(key.rawValue), value])
        }
    }
    func set(_ key: Key, _ value: Int64) throws { try set(key, .integer(value)) }
    func set(_ key: Key, _ value: String) throws { try set(key, .text(value)) }
    func set(_ key: Key, _ value: [UInt8]) throws { try set(key, .blob(value)) }

    // MARK: Who and where

    var site: SiteID {
        get throws { SiteID(rawValue: UInt64(bitPattern: try integer(.site) ?? 0)) }
    }
    func set(site: SiteID) throws { try set(.site, Int64(bitPattern: site.rawValue)) }

    var cursor: Position { get throws { try integer(.cursor) ?? 0 } }

    var lineage: Lineage {
        get throws { try blob(.lineage).map { try Lineage(decoding: $0) } ?? Lineage([]) }
    }
    func set(lineage: Lineage) throws { try set(.lineage, lineage.encoded()) }

    /// The number of `lineage` in `peyk_lineage`: commits refer to it instead of repeating it.
    func lineageID(_ lineage: Lineage) throws -> Int64 {
        let bytes = lineage.encoded()
        if let known = try connection.value("SELECT id FROM peyk_lineage WHERE eras = ?1", [.blob(bytes)]) {
            return known.integerValue ?? 0
        }
        try connection.run("INSERT INTO peyk_lineage(eras) VALUES (?1)", [.blob(bytes)])
        return connection.lastInsertRowID
    }

    func lineage(id: Int64) throws -> Lineage {
        guard
            case .blob(let bytes)? = try connection.value("SELECT eras FROM peyk_lineage WHERE id = ?1", [.integer(id)])
        else { throw ReplicaError.damaged("the lineage \(id) of a commit is missing") }
        return try Lineage(decoding: bytes)
    }

    var scope: HeldScope {
        get throws { try blob(.scope).map { try HeldScope(decoding: $0) } ?? .empty }
    }
    func set(scope: HeldScope) throws { try set(.scope, scope.encoded()) }

    var grant: Grant? {
        get throws { try blob(.grant).map { try Grant(decoding: $0) } }
    }
    func set(grant: Grant) throws { try set(.grant, grant.encoded()) }

    var user: RecordID? { get throws { try text(.user).flatMap { RecordID($0) } } }
    var role: Role? { get throws { try text(.role).flatMap { Role(rawValue: $0) } } }

    var former: [CommitID] {
        get throws {
            let bytes = try blob(.former) ?? []
            return stride(from: 0, to: bytes.count - 15, by: 16).compactMap { CommitID(bytes: bytes[$0..<$0 + 16]) }
        }
    }
    func set(former: [CommitID]) throws {
        try set(.former, former.isEmpty ? .null : .blob(former.flatMap(\.bytes)))
    }

    // MARK: The clock (rules C2 to C4)

    /// The highest stamp given or learned.
    var hlc: HLC {
        get throws {
            let floor = UInt64(bitPattern: try integer(.hlc) ?? 0)
            let since = try integer(.hlcSeq) ?? 0
            // Stamps rise with seq. Who gives an old commit a new seq, or seals one that is held, sets the clock first.
            let last = try connection.value(
                "SELECT stamp FROM peyk_commit WHERE seq > ?1 AND seq < ?2 ORDER BY seq DESC LIMIT 1",
                [.integer(since), .integer(OutboxCommit.heldBase)]
            )?.integerValue
            return max(HLC(rawValue: floor), last.map { HLC(rawValue: UInt64(bitPattern: $0)) } ?? .zero)
        }
    }

    /// Sets the clock to exactly `stamp`, whatever the outbox holds: to learn (C2) or to lower (C3).
    func set(hlc stamp: HLC) throws {
        let last =
            try connection.value(
                "SELECT max(seq) FROM peyk_commit WHERE seq < ?1", [.integer(OutboxCommit.heldBase)]
            )?.integerValue ?? 0
        try set(.hlc, Int64(bitPattern: stamp.rawValue))
        try set(.hlcSeq, last)
    }

    /// Later stamps will be above `stamp`.
    func learn(_ stamp: HLC) throws {
        if stamp > (try hlc) { try set(hlc: stamp) }
    }

    /// The last sealed seq of the present site; 0 before the first.
    var lastSealed: Sequence64 {
        get throws {
            let last = try connection.value(
                "SELECT max(seq) FROM peyk_commit WHERE seq < ?1", [.integer(OutboxCommit.heldBase)]
            )?.integerValue
            return max(try integer(.seqFloor) ?? 0, last ?? 0)
        }
    }
}

// MARK: - Stored forms

extension Lineage {
    func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: 32)
        encode(to: &writer)
        return writer.bytes
    }

    init(decoding bytes: [UInt8]) throws(DecodeError) {
        var reader = ByteReader(bytes)
        self = try Lineage(from: &reader)
        try reader.finish()
    }
}

extension HeldScope {
    func encoded() -> [UInt8] {
        var writer = ByteWriter()
        writer.varint(UInt64(bitPattern: version))
        writer.count(buckets.count)
        for bucket in buckets { writer.text(bucket.text) }
        return writer.bytes
    }

    init(decoding bytes: [UInt8]) throws(DecodeError) {
        var reader = ByteReader(bytes)
        let version = try reader.natural()
        var buckets: [Bucket] = []
        for _ in 0..<(try reader.count()) { buckets.append(Bucket(text: try reader.text())) }
        self.init(buckets: buckets, version: version)
        try reader.finish()
    }
}

extension Grant {
    func encoded() -> [UInt8] {
        var writer = ByteWriter()
        writer.varint(UInt64(bitPattern: version))
        for list in [read, write] {
            writer.count(list.count)
            for bucket in list { writer.text(bucket.text) }
        }
        return writer.bytes
    }

    init(decoding bytes: [UInt8]) throws(DecodeError) {
        var reader = ByteReader(bytes)
        let version = try reader.natural()
        var lists: [[Bucket]] = []
        for _ in 0..<2 {
            var list: [Bucket] = []
            for _ in 0..<(try reader.count()) { list.append(Bucket(text: try reader.text())) }
            lists.append(list)
        }
        self.init(read: lists[0], write: lists[1], version: version)
        try reader.finish()
    }
}

extension VectorClock {
    func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: 48)
        encode(to: &writer)
        return writer.bytes
    }

    init(decoding bytes: [UInt8]) throws(DecodeError) {
        var reader = ByteReader(bytes)
        self = try VectorClock(from: &reader)
        try reader.finish()
    }
}
