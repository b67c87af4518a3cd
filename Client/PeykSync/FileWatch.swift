#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Tells by size and time whether any program has written to a SQLite database since the last look.
struct FileWatch {
    private struct Mark: Equatable {
        var size: Int64 = -1
        var seconds: Int64 = 0
        var nanoseconds: Int64 = 0
    }

    private let paths: [String]
    private var marks: [Mark]

    init(database path: String) {
        paths = [path, path + "-wal"]
        marks = []
        marks = paths.map { Self.mark($0) }
    }

    /// Whether something was written since the last call.
    mutating func hasChanged() -> Bool {
        let now = paths.map { Self.mark($0) }
        defer { marks = now }
        return now != marks
    }

    private static func mark(_ path: String) -> Mark {
        var facts = stat()
        guard stat(path, &facts) == 0 else { return Mark() }
        #if canImport(Darwin)
            let time = facts.st_mtimespec
        #else
            let time = facts.st_mtim
        #endif
        return Mark(size: Int64(facts.st_size), seconds: Int64(time.tv_sec), nanoseconds: Int64(time.tv_nsec))
    }
}
