import NIOCore
import NIOEmbedded

@testable import PeykTransport

/// Frames must come out of a stream as they were put in, however it was cut; what is too long is refused.
enum FrameBody {
    /// The first byte says in pieces of how many bytes the rest comes, the second the limit of a frame.
    static func run(_ bytes: [UInt8]) {
        var reader = InputReader(bytes)
        let piece = Int(reader.byte()) + 1
        let limit = Int(reader.byte()) * 4
        let stream = Array(reader.rest)
        let channel = EmbeddedChannel(handler: ByteToMessageHandler(FrameDecoder(FrameMeter(limit: limit))))
        var failure: (any Error)?
        for start in stride(from: 0, to: stream.count, by: piece) {
            let part = stream[start..<min(start + piece, stream.count)]
            do { try channel.writeInbound(ByteBuffer(bytes: part)) } catch {
                failure = error
                break
            }
        }
        var found: [[UInt8]] = []
        while let frame = (try? channel.readInbound(as: [UInt8].self)) ?? nil { found.append(frame) }
        let (expected, isTooLong) = frames(in: stream, limit: limit)
        must(found == expected, "the frames of a stream do not depend on how it is cut (P29)")
        must((failure != nil) == isTooLong, "a frame is refused where it is too long, and only there")
        if let failure { must(failure is TransportError, "a refusal is a typed error (P29)") }
        _ = try? channel.finish(acceptAlreadyClosed: true)
    }

    /// The same by the simplest means.
    private static func frames(in stream: [UInt8], limit: Int) -> (frames: [[UInt8]], isTooLong: Bool) {
        var rest = stream[...]
        var frames: [[UInt8]] = []
        while rest.count >= 4 {
            let length = rest.prefix(4).reduce(0) { $0 << 8 | Int($1) }
            if length > limit { return (frames, true) }
            guard rest.count >= 4 + length else { break }
            frames.append(Array(rest.dropFirst(4).prefix(length)))
            rest = rest.dropFirst(4 + length)
        }
        return (frames, false)
    }
}
