import PeykModel
public import PeykSession
import SwiftProtobuf

/// Messages to and from a frame's body: protobuf `ClientFrame` or `ServerFrame` (protocol.md, W).
///
/// Pure functions: equal messages give equal bytes. A message that this gives decodes to an equal message.
public enum WireCodec {
    /// - Complexity: O(bytes); one copy of what the message holds.
    public static func encode(_ message: ClientMessage) -> [UInt8] { bytes(of: ProtoClientFrame(message)) }

    /// - Complexity: O(bytes); one copy of what the message holds.
    public static func encode(_ message: ServerMessage) -> [UInt8] { bytes(of: ProtoServerFrame(message)) }

    /// - Parameter limit: of the body's bytes, checked first.
    /// - Throws: ``WireError``, for any bytes that are not a whole, well-formed message.
    public static func decodeClient(
        _ body: [UInt8], limit: Int = SessionLimits.frameBytes
    ) throws(WireError) -> ClientMessage {
        let frame: ProtoClientFrame = try parse(body, as: .clientFrame, limit: limit)
        guard let message = frame.message else { throw .unknownMessage }
        do { return try ClientMessage(message) } catch { throw .malformed(error) }
    }

    /// - Parameter limit: of the body's bytes, checked first.
    /// - Throws: ``WireError``, for any bytes that are not a whole, well-formed message.
    public static func decodeServer(
        _ body: [UInt8], limit: Int = SessionLimits.frameBytes
    ) throws(WireError) -> ServerMessage {
        let frame: ProtoServerFrame = try parse(body, as: .serverFrame, limit: limit)
        guard let message = frame.message else { throw .unknownMessage }
        do { return try ServerMessage(message) } catch { throw .malformed(error) }
    }

    static func bytes(of frame: some SwiftProtobuf.Message) -> [UInt8] {
        // Encoding fails for missing required fields, which proto3 does not have, and above 2 GB.
        (try? frame.serializedBytes(partial: true)) ?? []
    }

    private static func parse<Frame: SwiftProtobuf.Message>(
        _ body: [UInt8], as shape: FrameShape, limit: Int
    ) throws(WireError) -> Frame {
        guard body.count <= limit else { throw .tooLong(bytes: body.count, limit: limit) }
        try shape.check(body)
        var options = BinaryDecodingOptions()
        options.messageDepthLimit = FrameShape.depthMax
        options.discardUnknownFields = true
        do {
            return try Frame(serializedBytes: body, partial: true, options: options)
        } catch {
            throw .malformed(.malformed("not a protobuf message of its kind"))
        }
    }
}
