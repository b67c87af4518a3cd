import Foundation
import PeykConsole
import PeykModel
import PeykServer

/// A backup: a tar archive (POSIX ustar) that begins with `manifest.json`, in which the size and SHA-256 of every other
/// member stand. It holds everything that a restore needs, keys included, so it is written with mode 0600.
enum BackupFile {
    static let manifest = "manifest.json"
    static let store = "workspace.sqlite"
    static let journal = "admin.journal"
    static let keys = "workspace.keys"
    static let format: Int64 = 1
    /// Members beside the store: small files.
    static let smallMax = 1 << 30

    struct Member: Hashable {
        var name: String
        var bytes: Int64
        var sha256: String

        var json: JSON { ["name": .string(name), "bytes": .integer(bytes), "sha256": .string(sha256)] }
    }

    /// What a backup says of itself.
    struct Manifest: Hashable {
        var workspace: String
        var lineage: Lineage
        var position: Position
        /// The chain hash of the log at `position` (rule I5).
        var chain: String
        /// The last line of the journal that the store has.
        var journal: Int64
        /// Unix milliseconds.
        var time: Int64
        var members: [Member]

        var json: JSON {
            [
                "format": .integer(format), "workspace": .string(workspace),
                "lineage": .array(
                    lineage.eras.map { ["epoch": .string($0.epoch.description), "after": .integer($0.after)] }),
                "position": .integer(position), "chain": .string(chain), "journal": .integer(journal),
                "time": .integer(time), "members": .array(members.map(\.json)),
            ]
        }

        init?(json: JSON) {
            guard json["format"]?.integerValue == format, let workspace = json["workspace"]?.stringValue,
                let position = json["position"]?.integerValue, let chain = json["chain"]?.stringValue,
                let time = json["time"]?.integerValue, let eras = json["lineage"]?.arrayValue,
                let members = json["members"]?.arrayValue
            else { return nil }
            self.workspace = workspace
            self.position = position
            self.chain = chain
            self.time = time
            journal = json["journal"]?.integerValue ?? 0
            lineage = Lineage(
                eras.compactMap { era in
                    era["epoch"]?.stringValue.flatMap { Epoch($0) }.flatMap { epoch in
                        era["after"]?.integerValue.map { Era(epoch: epoch, after: $0) }
                    }
                })
            self.members = members.compactMap { item in
                guard let name = item["name"]?.stringValue, let bytes = item["bytes"]?.integerValue,
                    let hash = item["sha256"]?.stringValue
                else { return nil }
                return Member(name: name, bytes: bytes, sha256: hash)
            }
            guard lineage.eras.count == eras.count, self.members.count == members.count, !eras.isEmpty else {
                return nil
            }
        }

        init(
            workspace: String, lineage: Lineage, position: Position, chain: String, journal: Int64, time: Int64,
            members: [Member]
        ) {
            self.workspace = workspace
            self.lineage = lineage
            self.position = position
            self.chain = chain
            self.journal = journal
            self.time = time
            self.members = members
        }
    }

    /// Size and hash of a file.
    static func member(_ name: String, at path: String) throws -> Member {
        var hash = ContentHash()
        var bytes: Int64 = 0
        try read(path) { part in
            hash.update(part)
            bytes += Int64(part.count)
        }
        return Member(name: name, bytes: bytes, sha256: hash.text())
    }

    /// Calls `body` with the parts of a file.
    static func read(_ path: String, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        guard let file = FileHandle(forReadingAtPath: path) else {
            throw Failure(.noInput, "\(path) cannot be read (\(String(cString: strerror(errno)))).")
        }
        defer { try? file.close() }
        while let part = try file.read(upToCount: 1 << 20), !part.isEmpty { try part.withUnsafeBytes { try body($0) } }
    }
}

/// Headers of a tar archive.
enum Tar {
    static let block = 512

    static func header(_ name: String, bytes: Int64, time: Int64) -> [UInt8] {
        var header = [UInt8](repeating: 0, count: block)
        func put(_ text: String, at place: Int) {
            for (index, byte) in text.utf8.enumerated() { header[place + index] = byte }
        }
        func octal(_ value: Int64, digits: Int) -> String {
            let text = String(value, radix: 8)
            return String(repeating: "0", count: max(0, digits - text.count)) + text
        }
        put(String(name.prefix(99)), at: 0)
        put(octal(0o600, digits: 7), at: 100)
        put(octal(0, digits: 7), at: 108)
        put(octal(0, digits: 7), at: 116)
        if bytes < 1 << 33 {
            put(octal(bytes, digits: 11), at: 124)
        } else {
            // As GNU tar does for what does not fit: binary, marked by the first bit.
            header[124] = 0x80
            for index in 0..<8 { header[135 - index] = UInt8(truncatingIfNeeded: bytes >> Int64(index * 8)) }
        }
        put(octal(time / 1_000, digits: 11), at: 136)
        put("        ", at: 148)
        header[156] = 0x30
        put("ustar", at: 257)
        put("00", at: 263)
        let sum = header.reduce(Int64(0)) { $0 + Int64($1) }
        put(octal(sum, digits: 6) + "\0 ", at: 148)
        return header
    }

    /// Name and size of the member that begins with this block; nil at the archive's end.
    static func member(_ header: [UInt8]) throws -> (name: String, bytes: Int64)? {
        guard header.contains(where: { $0 != 0 }) else { return nil }
        func text(_ range: Range<Int>) -> String {
            String(decoding: header[range].prefix { $0 != 0 && $0 != 0x20 }, as: UTF8.self)
        }
        var plain = header
        for index in 148..<156 { plain[index] = 0x20 }
        let sum = plain.reduce(Int64(0)) { $0 + Int64($1) }
        guard Int64(text(148..<155), radix: 8) == sum else {
            throw Failure(.data, "The file is no backup, or is damaged. Nothing was changed.")
        }
        var bytes = Int64(text(124..<136), radix: 8) ?? -1
        if header[124] == 0x80 { bytes = header[128..<136].reduce(Int64(0)) { $0 << 8 | Int64($1) } }
        guard bytes >= 0 else { throw Failure(.data, "The file is no backup, or is damaged. Nothing was changed.") }
        return (text(0..<100), bytes)
    }

    static func padding(_ bytes: Int64) -> Int { Int((Int64(block) - bytes % Int64(block)) % Int64(block)) }
}
