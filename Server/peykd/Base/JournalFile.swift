import Foundation
import PeykConsole
import PeykServer
import Synchronization

/// `admin.journal`: one line of JSON an act, each synced to the disk before the act is answered (rule I9).
final class JournalFile: AdminJournal {
    let path: String
    /// One writer at a time.
    private let writing = Mutex<Void>(())

    init(path: String) { self.path = path }

    func append(_ line: [UInt8]) throws {
        try writing.withLock { _ in
            let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
            guard file >= 0 else { throw Self.failure(path) }
            defer { close(file) }
            let end = try Self.wholeEnd(file, path)
            // What a crash left of a line that nobody was told of.
            guard ftruncate(file, end) == 0, lseek(file, end, SEEK_SET) == end else { throw Self.failure(path) }
            var bytes = line
            bytes.append(0x0A)
            var sent = 0
            while sent < bytes.count {
                let count = bytes.withUnsafeBytes {
                    Foundation.write(file, $0.baseAddress.map { $0 + sent }, $0.count - sent)
                }
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { throw Self.failure(path) }
                sent += count
            }
            guard fsync(file) == 0 else { throw Self.failure(path) }
        }
    }

    func takeBack(_ line: [UInt8]) throws {
        try writing.withLock { _ in
            let file = open(path, O_RDWR | O_CLOEXEC)
            guard file >= 0 else { throw Self.stuck(path) }
            defer { close(file) }
            let start = try Self.wholeEnd(file, path) - off_t(line.count + 1)
            guard start >= 0 else { return }
            var last = [UInt8](repeating: 0, count: line.count)
            let count = last.withUnsafeMutableBytes { pread(file, $0.baseAddress, line.count, start) }
            guard count == line.count, last == line else { return }
            guard ftruncate(file, start) == 0, fsync(file) == 0 else { throw Self.stuck(path) }
        }
    }

    func lines() throws -> [[UInt8]] {
        guard FileManager.default.fileExists(atPath: path) else { return [] }
        let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        guard let last = bytes.lastIndex(of: 0x0A) else { return [] }
        return bytes[...last].split(separator: 0x0A).map { Array($0) }
    }

    /// The number of the last line; 0 where there is none.
    func lastNumber() throws -> Int64 { try lines().last.flatMap { JournalLine($0) }?.number ?? 0 }

    /// Where the last whole line ends.
    private static func wholeEnd(_ file: Int32, _ path: String) throws -> off_t {
        let size = lseek(file, 0, SEEK_END)
        guard size >= 0 else { throw failure(path) }
        var end = size
        var part = [UInt8](repeating: 0, count: 1 << 16)
        while end > 0 {
            let start = max(0, end - off_t(part.count))
            let count = part.withUnsafeMutableBytes { pread(file, $0.baseAddress, Int(end - start), start) }
            guard count == Int(end - start) else { throw failure(path) }
            if let newline = part[..<count].lastIndex(of: 0x0A) { return start + off_t(newline) + 1 }
            end = start
        }
        return 0
    }

    private static func stuck(_ path: String) -> Failure {
        Failure(
            .inputOutput,
            "\(path) cannot be written (\(String(cString: strerror(errno)))). What was asked for is carried out when "
                + "peykd starts the next time.")
    }

    private static func failure(_ path: String) -> Failure {
        Failure(
            .inputOutput,
            "\(path) cannot be written (\(String(cString: strerror(errno)))). The act was not carried out.")
    }
}
