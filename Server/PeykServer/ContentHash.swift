import Crypto

/// SHA-256 of a file that is read in parts.
public struct ContentHash {
    private var hash = SHA256()

    public init() {}

    public mutating func update(_ bytes: UnsafeRawBufferPointer) { hash.update(bufferPointer: bytes) }

    /// 64 hexadecimal digits.
    public func text() -> String { Array(hash.finalize()).hex }
}
