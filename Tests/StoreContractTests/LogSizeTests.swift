import Foundation
import PeykModel
import PeykSQLite
import PeykServer
import Testing

@testable import PeykStoreSQLite

@Suite("Size of the write-ahead log")
struct LogSizeTests {
    @Test("four readers that overlap for ever do not let the log grow for ever (F80)", .timeLimit(.minutes(5)))
    func overlappingReaders() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "peyk-wal-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appending(path: "x.sqlite").path
        let truncateAt: Int32 = 1_500
        let store = try SQLiteStore(path, access: .create, truncateAt: truncateAt)
        let end = Mark()
        for number in 0..<4 {
            let reader = Thread {
                while !end.isSet {
                    // At any moment some of the four holds a snapshot.
                    try? store.read { reader in
                        _ = try reader.head()
                        Thread.sleep(forTimeInterval: 0.005 + 0.002 * Double(number))
                    }
                }
                end.leave()
            }
            reader.start()
        }
        var most: Int64 = 0
        for round in 0..<500 {
            try store.write { transaction in
                for index in 0..<20 {
                    let value = [UInt8](repeating: UInt8(truncatingIfNeeded: round + index), count: 3_000)
                    try transaction.setDocument("x", "\(round)/\(index)", value)
                }
            }
            let size = try FileManager.default.attributesOfItem(atPath: path + "-wal")[.size] as? NSNumber
            most = max(most, size?.int64Value ?? 0)
        }
        end.set()
        while end.left < 4 { Thread.sleep(forTimeInterval: 0.01) }
        // A frame has a page of 4,096 bytes and 24 more. Checkpoints are tried every 1,000 frames, so that 2,500 are
        // not reached; without a bound 500 groups make over 10,000.
        #expect(most > 0 && most < Int64(truncateAt + 1_000 + 200) * 4_120, "the log reached \(most) bytes")
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
