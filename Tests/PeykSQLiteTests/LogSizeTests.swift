import Foundation
import PeykModel
import Testing

@testable import PeykSQLite

@Suite("Size of the write-ahead log")
struct LogSizeTests {
    @Test("four readers that overlap for ever do not let the log grow for ever (F80)")
    func overlappingReaders() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "peyk-wal-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appending(path: "x.sqlite").path
        let truncateAt: Int32 = 1_500
        let writer = try Database(
            path: path, access: .create, lockPath: path + ".lock", busySeconds: 5, truncateAt: truncateAt)
        try writer.write { try $0.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB) STRICT") }
        let end = Mark()
        let readers = (0..<4).map { number in
            let reader = Thread {
                guard let database = try? Database(path: path, access: .readOnly, lockPath: nil) else { return }
                while !end.isSet {
                    // At any moment some of the four holds a snapshot.
                    try? database.read { connection in
                        _ = try connection.value("SELECT count(*) FROM t")
                        Thread.sleep(forTimeInterval: 0.005 + 0.002 * Double(number))
                    }
                }
                end.leave()
            }
            reader.start()
            return reader
        }
        var most: Int64 = 0
        for round in 0..<800 {
            try writer.write { connection in
                for index in 0..<20 {
                    try connection.run(
                        "INSERT INTO t(v) VALUES(?)",
                        [.blob([UInt8](repeating: UInt8(truncatingIfNeeded: round + index), count: 3_000))])
                }
            }
            let size = try FileManager.default.attributesOfItem(atPath: path + "-wal")[.size] as? NSNumber
            most = max(most, size?.int64Value ?? 0)
        }
        end.set()
        while end.left < readers.count { Thread.sleep(forTimeInterval: 0.01) }
        // A frame has a page of 4,096 bytes and 24 more. A step of checkpoints may go over, or two where a loaded machine
        // keeps a reader from its turn; without bounds 800 groups make over 13,000 frames.
        #expect(most < Int64(truncateAt + 3_000) * 4_120, "the log reached \(most) bytes")
        #expect(most > 0)
    }

    private final class Mark: @unchecked Sendable {  // `lock` guards both.
        private let lock = NSLock()
        private var value = false
        private var count = 0
        var isSet: Bool { lock.withLock { value } }
        var left: Int { lock.withLock { count } }
        func set() { lock.withLock { value = true } }
        func leave() { lock.withLock { count += 1 } }
    }
}
