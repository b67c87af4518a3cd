public import PeykModel

/// The backups that may still be restored (rule I10).
public struct BackupsDocument: Document {
    public static let collection = "workspace"
    public static let key = "backups"
    public var key: String { Self.key }

    public struct Item: Hashable, Sendable {
        public var path: String
        /// The head of the log that it holds.
        public var position: Position
        public var epoch: Epoch
        /// Unix milliseconds.
        public var time: Int64
        public var bytes: Int64

        public init(path: String, position: Position, epoch: Epoch, time: Int64, bytes: Int64) {
            self.path = path
            self.position = position
            self.epoch = epoch
            self.time = time
            self.bytes = bytes
        }
    }

    /// Oldest first.
    public var items: [Item]

    public init(items: [Item] = []) { self.items = items }

    public var json: JSON {
        [
            "items": .array(
                items.map { item in
                    [
                        "path": .string(item.path), "position": .integer(item.position),
                        "epoch": .string(item.epoch.description), "time": .integer(item.time),
                        "bytes": .integer(item.bytes),
                    ]
                })
        ]
    }

    public init?(json: JSON) {
        guard let list = json["items"]?.arrayValue else { return nil }
        items = []
        for item in list {
            guard let path = item["path"]?.stringValue, let position = item["position"]?.integerValue,
                let epoch = item["epoch"]?.stringValue.flatMap({ Epoch($0) }), let time = item["time"]?.integerValue
            else { return nil }
            items.append(
                Item(path: path, position: position, epoch: epoch, time: time, bytes: item["bytes"]?.integerValue ?? 0))
        }
    }
}

extension StoreReader {
    public func backups() throws -> BackupsDocument {
        try document(BackupsDocument.self, BackupsDocument.key) ?? BackupsDocument()
    }
}

/// When a workspace should be backed up, and what happens where it is not (rule I10).
public enum BackupRule {
    public static let keepDefault = 3
    public static let keepMax = 1_000
    /// Milliseconds without a backup after which both sides warn, and after which the horizon moves by age.
    public static let warnAfter: Int64 = 30 * 86_400_000
    /// Milliseconds after which an outcome counts as backed up where no backup is made.
    public static let age: Int64 = 400 * 86_400_000
}

extension Workspace {
    /// Remembers a backup that is whole and durable; the horizon becomes the position of the oldest of the last `keep`.
    /// It never moves back: devices have dropped what lies below it.
    public func note(_ backup: BackupsDocument.Item, keep: Int = BackupRule.keepDefault) throws {
        try store.write { transaction in
            var backups = try transaction.backups()
            backups.items.removeAll { $0.path == backup.path }
            backups.items.append(backup)
            backups.items = Array(backups.items.suffix(max(1, keep)))
            try transaction.set(backups)
            var clock = try transaction.clockDocument()
            clock.backupHorizon = max(clock.backupHorizon, backups.items.map(\.position).min() ?? 0)
            try transaction.set(clock)
        }
    }

    /// Where no backup has been made for 30 days, devices may drop what is older than 400 days. Call it now and then.
    ///
    /// - Complexity: O(log positions) reads of single entries.
    public func moveBackupHorizonByAge() throws {
        let now = environment.now()
        let found = try store.read { reader -> Position? in
            let last = try reader.backups().items.last?.time ?? 0
            guard now - last > BackupRule.warnAfter else { return nil }
            let clock = try reader.clockDocument()
            var (low, high) = (max(clock.backupHorizon, clock.logHorizon), try reader.head())
            while low < high {
                let middle = low + (high - low + 1) / 2
                guard let entry = try reader.entry(at: middle), now - entry.time > BackupRule.age else {
                    high = middle - 1
                    continue
                }
                low = middle
            }
            return low > clock.backupHorizon ? low : nil
        }
        guard let found else { return }
        try store.write { transaction in
            var clock = try transaction.clockDocument()
            clock.backupHorizon = max(clock.backupHorizon, found)
            try transaction.set(clock)
        }
    }
}
