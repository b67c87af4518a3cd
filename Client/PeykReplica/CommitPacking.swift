import CZstd
import PeykModel
import PeykSQLite

/// How the bytes of a commit lie in the file: from the server's answer on as a zstd frame, where they are many, since
/// the commit stays until a backup covers it (rule I10) and would take as much room as the rows (decision 0020).
///
/// What is hashed, decoded and sent are the bytes themselves (rule C1): every reader takes them by way of
/// ``unpacked(_:)``. A frame begins with zstd's magic number; neither a sealed body (which begins with its format, 1)
/// nor former values (0 to 2) ever do.
enum CommitPacking {
    /// Below this a frame saves little.
    static let bytesMin = 512
    /// What is longer stays as it is, and no frame is unpacked to more.
    static let bytesMax = 256 << 20
    private static let magic: [UInt8] = [0x28, 0xB5, 0x2F, 0xFD]
    private static let level: Int32 = 3

    /// Packs one commit in its row of `peyk_commit`, where it is worth it and not yet done.
    /// - Complexity: O(its bytes), at some 200 MB a second.
    static func pack(_ seq: Sequence64, _ connection: Connection) throws {
        let lengths = try connection.statement("SELECT length(sealed), length(before) FROM peyk_commit WHERE seq = ?1")
        try lengths.bind(1, int64: seq)
        let isLong = try lengths.step() && max(lengths.int64(0), lengths.int64(1)) >= Int64(bytesMin)
        lengths.reset()
        guard isLong else { return }
        let stored = try connection.statement("SELECT sealed, before FROM peyk_commit WHERE seq = ?1")
        try stored.bind(1, int64: seq)
        guard try stored.step() else { return }
        let sealed = stored.withBytes(0, frame)
        let before = stored.withBytes(1, frame)
        stored.reset()
        guard sealed != nil || before != nil else { return }
        try connection.run(
            "UPDATE peyk_commit SET sealed = coalesce(?2, sealed), before = coalesce(?3, before) WHERE seq = ?1",
            [.integer(seq), sealed.map { .blob($0) } ?? .null, before.map { .blob($0) } ?? .null])
    }

    /// Nil where the bytes shall lie as they are.
    static func frame(_ bytes: UnsafeRawBufferPointer) -> [UInt8]? {
        guard bytes.count >= bytesMin, bytes.count <= bytesMax, !isFrame(bytes) else { return nil }
        let room = ZSTD_compressBound(bytes.count)
        let frame = [UInt8](unsafeUninitializedCapacity: room) { out, count in
            let size = ZSTD_compress(out.baseAddress, room, bytes.baseAddress, bytes.count, level)
            count = ZSTD_isError(size) == 0 ? size : 0
        }
        return frame.isEmpty || frame.count >= bytes.count ? nil : frame
    }

    /// The bytes themselves. Memory is bounded by ``bytesMax``, checked before anything is allocated.
    static func unpacked(_ stored: UnsafeRawBufferPointer) throws -> [UInt8] {
        guard isFrame(stored) else { return [UInt8](stored) }
        // The two largest values say “unknown” and “error”.
        let size = ZSTD_getFrameContentSize(stored.baseAddress, stored.count)
        guard size <= UInt64(bytesMax) else { throw damaged }
        var isWhole = false
        let bytes = [UInt8](unsafeUninitializedCapacity: Int(size)) { out, count in
            let written = ZSTD_decompress(out.baseAddress, out.count, stored.baseAddress, stored.count)
            isWhole = ZSTD_isError(written) == 0 && written == Int(size)
            count = isWhole ? written : 0
        }
        guard isWhole else { throw damaged }
        return bytes
    }

    private static func isFrame(_ bytes: UnsafeRawBufferPointer) -> Bool { bytes.starts(with: magic) }

    private static var damaged: ReplicaError { .damaged("a commit of peyk_commit cannot be unpacked") }
}

extension Statement {
    /// The bytes of a commit in a column: see ``CommitPacking``.
    func unpacked(_ column: Int32) throws -> [UInt8] { try withBytes(column, CommitPacking.unpacked) }
}
