import Crypto

/// Words in place of values that nobody may read.
public enum Secrets {
    /// The same word for the same bytes and salt, and nothing else to be learnt from it.
    public static func word(_ bytes: [UInt8], salt: [UInt8]) -> String {
        let code = HMAC<SHA256>.authenticationCode(for: bytes, using: SymmetricKey(data: salt))
        return code.prefix(6).map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0" + digits : digits
        }.joined()
    }
}
