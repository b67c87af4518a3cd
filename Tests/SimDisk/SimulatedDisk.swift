import CSimDisk
import Foundation

/// A disk under SQLite that can lose power and fail, for all files in one folder. See `CSimDisk.h`.
///
/// Make it before the first database of the folder is opened. Files outside its folder are not touched, so several
/// disks, and tests beside each other, do not meet. Calls may come from any thread.
// Sendable: guarded by the C code's lock; `isLying` is its owner's alone.
public final class SimulatedDisk: @unchecked Sendable {
    /// What SQLite does to a file.
    public struct Operations: OptionSet, Sendable {
        public let rawValue: Int32
        public init(rawValue: Int32) { self.rawValue = rawValue }
        public static let write = Operations(rawValue: 1)
        public static let sync = Operations(rawValue: 2)
        public static let open = Operations(rawValue: 4)
        public static let truncate = Operations(rawValue: 8)
        public static let delete = Operations(rawValue: 16)
        public static let read = Operations(rawValue: 32)
        /// Mapping a region of the shared index of the write-ahead log.
        public static let sharedMemory = Operations(rawValue: 64)
        /// All that changes a file.
        public static let changes: Operations = [.write, .sync, .truncate, .delete]
        public static let all: Operations = [.changes, .open, .read, .sharedMemory]
    }

    public enum Failure: Int32, Sendable, CaseIterable {
        /// EIO; nothing is done.
        case deviceError = 1
        /// ENOSPC; nothing is done.
        case full = 2
        /// A write stops half-way for want of space.
        case shortWrite = 3
        /// The machine stops here: nothing has an effect any more until ``start(losing:)``.
        case stop = 4
    }

    /// The folder, with symbolic links resolved.
    public let folder: String
    private let handle: OpaquePointer

    public struct Unavailable: Error, CustomStringConvertible {
        public var description: String { "The simulated disk could not be set up: no memory, or SQLite refused." }
    }

    /// SQLite's own random numbers follow from `seed` from now on, in the whole process.
    public static func seedRandomNumbers(_ seed: UInt64) throws {
        guard simdisk_install() == 0 else { throw Unavailable() }
        simdisk_seed_random(seed)
    }

    /// SQLite takes its memory from lists of its own from now on, which never shrink: for a process that does nothing
    /// but simulate. Does nothing where the library is in use already.
    public static func poolMemory() { _ = simdisk_pool_memory() }

    /// Where disks live: in memory where the machine has that, else in the temporary folder.
    public static let root: String = {
        let shared = "/dev/shm"
        return FileManager.default.isWritableFile(atPath: shared) ? shared : NSTemporaryDirectory()
    }()

    /// Whether SQLite's files are kept in memory; the folder holds empty ones in their stead.
    public let isInMemory: Bool

    /// A disk for `folder`, which is made where it is missing.
    ///
    /// - Parameter isInMemory: SQLite's files have no real ones behind them, which is faster; only this process sees
    ///   them.
    public init(folder: String, isInMemory: Bool = false) throws {
        guard simdisk_install() == 0 else { throw Unavailable() }
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        self.folder = URL(fileURLWithPath: folder).resolvingSymlinksInPath().path
        guard let handle = simdisk_mount(self.folder + "/", isInMemory ? 1 : 0) else { throw Unavailable() }
        self.isInMemory = isInMemory
        self.handle = handle
    }

    /// A disk for a new folder of its own under ``root``. ``remove()`` takes the folder away.
    public convenience init(isInMemory: Bool = false) throws {
        try self.init(folder: Self.root + "/peyk-disk-\(UUID().uuidString)", isInMemory: isInMemory)
    }

    deinit { simdisk_unmount(handle) }

    /// Deletes the folder with all that is in it.
    public func remove() { try? FileManager.default.removeItem(atPath: folder) }

    // MARK: Contents

    /// SQLite's databases on the disk and their logs, by name. No transaction may be under way.
    public func files() throws -> [String: [UInt8]] {
        var files: [String: [UInt8]] = [:]
        if isInMemory {
            var found: [(String, [UInt8])] = []
            withUnsafeMutablePointer(to: &found) { found in
                _ = simdisk_list(handle, found) { context, path, bytes, count in
                    guard let path, let list = context?.assumingMemoryBound(to: [(String, [UInt8])].self) else {
                        return
                    }
                    let content = Array(UnsafeBufferPointer(start: bytes, count: Int(count)))
                    list.pointee.append((String(cString: path), content))
                }
            }
            for (path, bytes) in found { files[String(path.dropFirst(folder.count + 1))] = bytes }
        } else {
            for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
                files[name] = [UInt8](try Data(contentsOf: URL(fileURLWithPath: folder + "/" + name)))
            }
        }
        return files.filter { Self.isDatabase($0.key) || Self.isLog($0.key) }
    }

    /// The databases on the disk become these. None may be open.
    public func replace(with files: [String: [UInt8]]) throws {
        if isInMemory { simdisk_clear(handle) }
        for name in try FileManager.default.contentsOfDirectory(atPath: folder)
        where Self.isDatabase(name) || Self.isLog(name) || name.hasSuffix("-shm") {
            try FileManager.default.removeItem(atPath: folder + "/" + name)
        }
        for (name, bytes) in files {
            let path = folder + "/" + name
            if isInMemory {
                guard simdisk_put(handle, path, bytes, Int64(bytes.count)) != 0 else { throw Unavailable() }
                // Programs look for the database itself before they open it.
                if Self.isDatabase(name) { _ = FileManager.default.createFile(atPath: path, contents: nil) }
            } else {
                try Data(bytes).write(to: URL(fileURLWithPath: path))
            }
        }
    }

    private static func isDatabase(_ name: String) -> Bool { name.hasSuffix(".sqlite") }
    private static func isLog(_ name: String) -> Bool { name.hasSuffix("-wal") }

    // MARK: Faults

    /// Operations of these kinds count from now on; the `nth` (from 1) fails, and all later ones too where `sticky`.
    ///
    /// - Parameter suffix: only files whose names end so, such as `-wal`.
    public func fail(
        _ operations: Operations, nth: UInt64, _ failure: Failure, sticky: Bool = false, suffix: String = ""
    ) {
        simdisk_arm(handle, operations.rawValue, nth, failure.rawValue, sticky ? 1 : 0, suffix)
    }

    /// No more faults.
    public func heal() { simdisk_disarm(handle) }

    /// Counts operations without failing any; read ``counted`` afterwards.
    public func count(_ operations: Operations, suffix: String = "") {
        simdisk_arm(handle, operations.rawValue, .max, Failure.deviceError.rawValue, 0, suffix)
    }

    /// Operations of the armed kinds since the last ``fail(_:nth:_:sticky:suffix:)`` or ``count(_:suffix:)``.
    public var counted: UInt64 { simdisk_count(handle) }
    /// How many of them failed.
    public var failed: UInt64 { simdisk_failed(handle) }
    /// Operations of one kind since the disk was made.
    public func total(_ operation: Operations) -> UInt64 { simdisk_total(handle, operation.rawValue) }

    /// Rises whenever something on the disk may have changed: equal numbers mean equal contents.
    public var changes: UInt64 { total(.write) &+ total(.truncate) &+ total(.delete) }

    /// Whether syncs are answered without being done, as some disks do: what a test of a test needs.
    public var isLying = false {
        didSet { simdisk_set_lying(handle, isLying ? 1 : 0) }
    }

    // MARK: Stops

    /// The machine stops now. Close every database of the folder, then ``start(losing:)``.
    public func stop() { simdisk_stop(handle) }
    public var isStopped: Bool { simdisk_is_stopped(handle) != 0 }
    /// Files of SQLite that are open.
    public var openHandles: Int { Int(simdisk_handles(handle)) }

    /// What a stop took.
    public enum Loss: Sendable {
        /// Only the process died.
        case nothing
        /// Power was lost: of what was not synced a part is there, by this number, which is not 0.
        case unsynced(seed: UInt64)
    }

    /// The machine starts again.
    ///
    /// - Returns: how many writes were lost or torn.
    @discardableResult
    public func start(losing loss: Loss) throws -> Int64 {
        let seed: UInt64 = if case .unsynced(let seed) = loss { seed == 0 ? 1 : seed } else { 0 }
        let lost = simdisk_start(handle, seed)
        guard lost >= 0 else { throw Unavailable() }
        return lost
    }
}
