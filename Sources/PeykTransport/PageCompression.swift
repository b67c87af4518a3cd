import CZstd
public import PeykSession

/// Compresses the payload of a page for the wire, and back within bounds (rule B1).
public enum PageCompression {
    /// zstd's level: the best ratio that a loopback connection does not notice.
    public static let level: Int32 = 3
    /// Shorter payloads stay as they are.
    public static let bytesMin = 128
    /// What decompresses to more than this must not have shrunk by more than the ratio; smaller pages may.
    public static let freeBytes = 4 << 20
    public static let ratioMax = 200

    /// The page with its payload compressed, where that makes it smaller. A compressed page comes back as it is.
    /// - Complexity: O(bytes), at some 200 MB a second.
    public static func compress(_ page: Page) -> Page {
        guard page.rawBytes == 0, page.payload.count >= bytesMin else { return page }
        let bound = ZSTD_compressBound(page.payload.count)
        let packed = [UInt8](unsafeUninitializedCapacity: bound) { out, count in
            let size = page.payload.withUnsafeBytes { raw in
                ZSTD_compress(out.baseAddress, bound, raw.baseAddress, raw.count, level)
            }
            count = ZSTD_isError(size) == 0 ? size : 0
        }
        guard !packed.isEmpty, packed.count < page.payload.count, isModest(packed.count, page.payload.count) else {
            return page
        }
        var compressed = page
        compressed.rawBytes = page.payload.count
        compressed.payload = packed
        return compressed
    }

    private static func isModest(_ packed: Int, _ raw: Int) -> Bool {
        raw <= freeBytes || raw / ratioMax <= packed
    }

    /// The page with its payload as it was. Memory is bounded by `limit`, which is checked against the declared
    /// size before anything is allocated; the data may not grow beyond what it declared.
    /// - Throws: ``TransportError/page(reason:)``
    public static func decompress(_ page: Page, limit: Int = SessionLimits.frameBytes) throws(TransportError) -> Page {
        guard page.rawBytes != 0 else { return page }
        guard page.rawBytes > 0, page.rawBytes <= limit else {
            throw .page(reason: "\(page.rawBytes) bytes, over the limit of \(limit)")
        }
        guard isModest(page.payload.count, page.rawBytes) else {
            throw .page(reason: "\(page.rawBytes) bytes out of \(page.payload.count)")
        }
        let declared = page.payload.withUnsafeBytes { ZSTD_getFrameContentSize($0.baseAddress, $0.count) }
        guard declared == UInt64(page.rawBytes) else {
            throw .page(reason: "its two sizes differ")
        }
        var isWhole = false
        let payload = [UInt8](unsafeUninitializedCapacity: page.rawBytes) { out, count in
            let size = page.payload.withUnsafeBytes { packed in
                ZSTD_decompress(out.baseAddress, out.count, packed.baseAddress, packed.count)
            }
            isWhole = ZSTD_isError(size) == 0 && size == page.rawBytes
            count = isWhole ? size : 0
        }
        guard isWhole else { throw .page(reason: "it cannot be decompressed") }
        var raw = page
        raw.rawBytes = 0
        raw.payload = payload
        return raw
    }
}
