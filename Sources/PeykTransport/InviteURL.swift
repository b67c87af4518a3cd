/// Why a text is no invite.
public enum InviteError: Error, Hashable, Sendable, CustomStringConvertible {
    case scheme, host, port, workspace, code, fingerprint

    public var description: String {
        let problem =
            switch self {
            case .scheme: "it does not begin with peyk://"
            case .host: "the name of the server is missing or malformed"
            case .port: "the port is missing or not a number from 1 to 65535"
            case .workspace: "the name of the workspace is missing or malformed"
            case .code: "the code after # is missing or damaged"
            case .fingerprint: "the server's fingerprint at the end is damaged"
            }
        return "This is not a whole invite: \(problem). It looks like peyk://host:port/workspace#code.fingerprint; "
            + "copy all of it, or ask IT for a new one."
    }
}

/// `peyk://host:port/workspace#code.fingerprint`: lets one device in, once.
///
/// The fingerprint is left out only for plaintext on loopback. IPv6 addresses stand in brackets.
public struct InviteURL: Hashable, Sendable {
    public var host: String
    public var port: Int
    public var workspace: String
    /// 16 random bytes in base64 for URLs. A secret: never in a log.
    public var code: String
    /// Nil: plaintext, allowed on loopback only.
    public var fingerprint: Fingerprint?

    public init(host: String, port: Int, workspace: String, code: String, fingerprint: Fingerprint?) {
        self.host = host
        self.port = port
        self.workspace = workspace
        self.code = code
        self.fingerprint = fingerprint
    }

    /// Reads an invite; white space around it is passed over.
    public init(parsing text: String) throws(InviteError) {
        var rest = Self.trimmed(text)[...]
        guard rest.hasPrefix("peyk://") else { throw .scheme }
        rest = rest.dropFirst("peyk://".count)
        guard let slash = rest.firstIndex(of: "/") else { throw .workspace }
        (host, port) = try Self.parse(authority: rest[..<slash])
        rest = rest[rest.index(after: slash)...]
        guard let hash = rest.firstIndex(of: "#") else { throw .code }
        guard let name = Percent.decode(rest[..<hash]), !name.isEmpty, name.utf8.count <= 200 else {
            throw .workspace
        }
        workspace = name
        let secret = rest[rest.index(after: hash)...]
        let parts = secret.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, !first.isEmpty, first.utf8.count <= 64, Base64URL.decode(first) != nil else {
            throw .code
        }
        code = String(first)
        fingerprint = nil
        if parts.count == 2 {
            guard let pinned = Fingerprint(parts[1]) else { throw .fingerprint }
            fingerprint = pinned
        }
    }

    private static func trimmed(_ text: String) -> String {
        let isSpace: (Character) -> Bool = { $0.isWhitespace || $0.isNewline }
        let start = text.drop(while: isSpace)
        return String(String(start.reversed().drop(while: isSpace)).reversed())
    }

    private static func parse(authority: Substring) throws(InviteError) -> (host: String, port: Int) {
        guard let colon = authority.lastIndex(of: ":") else { throw .port }
        var host = authority[..<colon]
        if host.hasPrefix("[") {
            guard host.hasSuffix("]"), host.contains(":") else { throw .host }
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            throw .host
        }
        let isNameByte: (UInt8) -> Bool = { byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x3A, 0x25: true
            default: false
            }
        }
        guard !host.isEmpty, host.utf8.count <= 255, host.utf8.allSatisfy(isNameByte) else { throw .host }
        let digits = authority[authority.index(after: colon)...]
        guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = Int(digits),
            (1...65_535).contains(port)
        else { throw .port }
        return (String(host), port)
    }
}

extension InviteURL: CustomStringConvertible {
    public var description: String {
        let name = host.contains(":") ? "[\(host)]" : host
        let pin = fingerprint.map { ".\($0)" } ?? ""
        return "peyk://\(name):\(port)/\(Percent.encode(workspace))#\(code)\(pin)"
    }

    /// Without the secret, for messages and logs.
    public var place: String {
        let name = host.contains(":") ? "[\(host)]" : host
        return "\(name):\(port)/\(workspace)"
    }
}

/// Percent-encoding of a workspace's name (RFC 3986 §2.1).
enum Percent {
    static func encode(_ text: String) -> String {
        var out = ""
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E:
                out.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                let digits = String(byte, radix: 16, uppercase: true)
                out += "%" + (digits.count == 1 ? "0" : "") + digits
            }
        }
        return out
    }

    /// Nil where an escape is damaged or the result is not UTF-8.
    static func decode(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == 0x25 else {
                bytes.append(byte)
                continue
            }
            let digits = rest.prefix(2)
            guard digits.count == 2, let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 16) else {
                return nil
            }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        return String(validating: bytes, as: UTF8.self)
    }
}
