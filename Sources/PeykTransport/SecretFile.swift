#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A small file that only its owner may read (0600): keys and what belongs to them.
public enum SecretFile {
    public struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
        public var path: String
        public var reason: String
        public var isMissing = false
        public var exists = false

        public var description: String { "\(path): \(reason)" }
    }

    /// Makes a new file whole or not at all, durable when this returns.
    /// - Throws: ``Failure`` with `exists` where there is such a file: it is never overwritten.
    public static func create(_ path: String, _ bytes: [UInt8]) throws(Failure) {
        let temporary = try writeTemporary(path, bytes)
        defer { unlink(temporary) }
        guard link(temporary, path) == 0 else {
            let exists = errno == EEXIST
            throw Failure(path: path, reason: exists ? "the file exists already" : lastReason(), exists: exists)
        }
        try syncFolder(of: path)
    }

    /// Replaces the file in one step: a reader sees the old bytes or the new.
    public static func replace(_ path: String, _ bytes: [UInt8]) throws(Failure) {
        let temporary = try writeTemporary(path, bytes)
        guard rename(temporary, path) == 0 else {
            let reason = lastReason()
            unlink(temporary)
            throw Failure(path: path, reason: reason)
        }
        try syncFolder(of: path)
    }

    /// - Throws: ``Failure``, also where others may read the file or it is over `limit` bytes.
    public static func read(_ path: String, limit: Int = 1 << 16) throws(Failure) -> [UInt8] {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw Failure(path: path, reason: lastReason(), isMissing: errno == ENOENT) }
        defer { close(file) }
        var facts = stat()
        guard fstat(file, &facts) == 0 else { throw Failure(path: path, reason: lastReason()) }
        guard facts.st_mode & 0o077 == 0 else {
            throw Failure(path: path, reason: "others may read this secret; run: chmod 600 \(path)")
        }
        var bytes = [UInt8](repeating: 0, count: limit + 1)
        var length = 0
        while length < bytes.count {
            let count = bytes.withUnsafeMutableBytes { buffer in
                readSome(file, buffer.baseAddress.map { $0 + length }, buffer.count - length)
            }
            guard count >= 0 else { throw Failure(path: path, reason: lastReason()) }
            if count == 0 { break }
            length += count
        }
        guard length <= limit else { throw Failure(path: path, reason: "the file is too long to be what it should") }
        return Array(bytes.prefix(length))
    }

    private static func readSome(_ file: Int32, _ buffer: UnsafeMutableRawPointer?, _ count: Int) -> Int {
        guard let buffer else { return 0 }
        while true {
            #if canImport(Glibc)
                let result = Glibc.read(file, buffer, count)
            #elseif canImport(Musl)
                let result = Musl.read(file, buffer, count)
            #else
                let result = Darwin.read(file, buffer, count)
            #endif
            if result >= 0 || errno != EINTR { return result }
        }
    }

    private static func writeTemporary(_ path: String, _ bytes: [UInt8]) throws(Failure) -> String {
        let temporary = "\(path).\(getpid()).\(UInt32.random(in: .min ... .max)).new"
        let file = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw Failure(path: path, reason: lastReason()) }
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                buffer.baseAddress.map { write(file, $0 + written, buffer.count - written) } ?? 0
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                let reason = lastReason()
                close(file)
                unlink(temporary)
                throw Failure(path: path, reason: reason)
            }
            written += count
        }
        let isDurable = fsync(file) == 0
        close(file)
        guard isDurable else {
            let reason = lastReason()
            unlink(temporary)
            throw Failure(path: path, reason: reason)
        }
        return temporary
    }

    private static func syncFolder(of path: String) throws(Failure) {
        let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        let file = open(folder.isEmpty ? "/" : folder, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw Failure(path: path, reason: lastReason()) }
        defer { close(file) }
        guard fsync(file) == 0 else { throw Failure(path: path, reason: lastReason()) }
    }

    private static func lastReason() -> String { String(cString: strerror(errno)) }
}
