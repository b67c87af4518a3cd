public import PeykModel

/// Why a frame's body is no message. Any byte sequence gives a message or one of these (P29).
public enum WireError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The body is over the limit that holds for it; nothing of it was read.
    case tooLong(bytes: Int, limit: Int)
    /// A well-formed frame whose message this version does not know.
    case unknownMessage
    /// More parts than a frame may have: refused before memory is taken for them.
    case tooManyParts(limit: Int)
    case malformed(DecodeError)

    public var description: String {
        switch self {
        case .tooLong(let bytes, let limit): "a message of \(bytes) bytes is over the limit of \(limit)"
        case .unknownMessage: "a message of a kind that this version does not know"
        case .tooManyParts(let limit): "a message has more than \(limit) parts"
        case .malformed(let error): "a message cannot be read: \(error)"
        }
    }
}
