import PeykModel

/// Where messages nest in messages, so that a frame's parts can be counted before memory is taken for them: a
/// message of 2 bytes on the wire may need some hundred in memory (P28).
enum FrameShape {
    case clientFrame, serverFrame
    case hello, backfill, welcome, entrance, openAnswer
    case push, sealedCommit, names, acknowledge, batch, entry, yours, answer
    case fetch, digestRequest, digestReply, historyRequest, historyReply
    case lineage
    /// A message without messages in it.
    case leaf

    static let messagesMax = 1 << 17
    static let fieldsMax = 1 << 20
    static let depthMax = 8

    func check(_ body: [UInt8]) throws(WireError) {
        var counter = FrameCounter()
        do {
            try body.withUnsafeBufferPointer { bytes throws(WireError) in
                try counter.count(bytes, in: 0..<bytes.count, as: self)
            }
        }
    }

    /// The shape of the message in the field of this number; nil for what is no message or not known.
    func child(_ field: UInt64) -> FrameShape? {
        switch (self, field) {
        case (.clientFrame, 2): .hello
        case (.clientFrame, 3): .push
        case (.clientFrame, 6): .fetch
        case (.clientFrame, 12): .names
        case (.clientFrame, 20), (.serverFrame, 20): .leaf
        case (.clientFrame, 8): .historyRequest
        case (.clientFrame, 7): .digestRequest
        case (.clientFrame, 1), (.clientFrame, 11): .leaf
        case (.serverFrame, 3): .welcome
        case (.serverFrame, 5): .acknowledge
        case (.serverFrame, 6): .batch
        case (.serverFrame, 9): .digestReply
        case (.serverFrame, 10): .historyReply
        case (.serverFrame, 1), (.serverFrame, 2), (.serverFrame, 4), (.serverFrame, 7), (.serverFrame, 8),
            (.serverFrame, 13):
            .leaf
        case (.hello, 7), (.welcome, 4), (.push, 1), (.batch, 3), (.historyReply, 3): .lineage
        case (.hello, 17): .backfill
        case (.hello, 12), (.hello, 14), (.backfill, 1), (.names, 1): .leaf
        case (.welcome, 3): .entrance
        case (.welcome, 13): .openAnswer
        case (.welcome, 5), (.welcome, 19), (.entrance, 1), (.entrance, 2): .leaf
        case (.push, 2): .sealedCommit
        case (.openAnswer, 4), (.yours, 1), (.sealedCommit, 8): .answer
        case (.batch, 4), (.historyReply, 4): .entry
        case (.entry, 9): .yours
        case (.acknowledge, 1), (.answer, 2), (.fetch, 1), (.digestRequest, 3), (.digestReply, 4),
            (.historyRequest, 1), (.historyReply, 1), (.lineage, 1):
            .leaf
        default: nil
        }
    }
}

/// Walks a protobuf message by its tags and lengths alone.
private struct FrameCounter {
    private var messages = 0
    private var fields = 0

    mutating func count(
        _ bytes: UnsafeBufferPointer<UInt8>, in range: Range<Int>, as shape: FrameShape
    ) throws(WireError) {
        messages += 1
        guard messages <= FrameShape.messagesMax else { throw .tooManyParts(limit: FrameShape.messagesMax) }
        var at = range.lowerBound
        while at < range.upperBound {
            fields += 1
            guard fields <= FrameShape.fieldsMax else { throw .tooManyParts(limit: FrameShape.fieldsMax) }
            let tag = try varint(bytes, at: &at, end: range.upperBound)
            switch tag & 7 {
            case 0: _ = try varint(bytes, at: &at, end: range.upperBound)
            case 1: try skip(8, at: &at, end: range.upperBound)
            case 5: try skip(4, at: &at, end: range.upperBound)
            case 2:
                let length = try varint(bytes, at: &at, end: range.upperBound)
                let start = at
                try skip(length, at: &at, end: range.upperBound)
                if let child = shape.child(tag >> 3) { try count(bytes, in: start..<at, as: child) }
            default: throw .malformed(.malformed("a field of unknown kind"))
            }
        }
    }

    private func skip(_ length: UInt64, at: inout Int, end: Int) throws(WireError) {
        guard length <= UInt64(end - at) else { throw .malformed(.truncated) }
        at += Int(length)
    }

    private func varint(_ bytes: UnsafeBufferPointer<UInt8>, at: inout Int, end: Int) throws(WireError) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while at < end {
            let part = bytes[at]
            at += 1
            value |= UInt64(part & 0x7F) << shift
            if part & 0x80 == 0 { return value }
            shift += 7
            guard shift < 64 else { throw .malformed(.malformed("an integer of more than 64 bits")) }
        }
        throw .malformed(.truncated)
    }
}
