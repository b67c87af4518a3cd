import Foundation
import PeykModel
import PeykSession
import PeykWire
import Testing

/// The bytes of one message of each kind, kept for ever under `seeds/wire`. `UPDATE_EXPECT=1` writes them anew:
/// a change of a file is a change of the protocol.
@Suite("Golden wire vectors")
struct GoldenVectorTests {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "seeds/wire")

    static func vector(_ name: String, _ bytes: [UInt8]) throws -> [UInt8] {
        let file = folder.appending(path: name + ".hex")
        if ProcessInfo.processInfo.environment["UPDATE_EXPECT"] == "1" {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            try Data(hexLines(bytes).utf8).write(to: file)
        }
        return try parse(String(contentsOf: file, encoding: .utf8))
    }

    static func hexLines(_ bytes: [UInt8]) -> String {
        var text = ""
        for (index, byte) in bytes.enumerated() {
            let digits = String(byte, radix: 16)
            text += digits.count == 1 ? "0" + digits : digits
            if index % 32 == 31 { text += "\n" }
        }
        return text.hasSuffix("\n") ? text : text + "\n"
    }

    static func parse(_ text: String) throws -> [UInt8] {
        let digits = Array(text.utf8.filter { $0 != 0x0A })
        return try stride(from: 0, to: digits.count, by: 2).map { index in
            try #require(
                UInt8(String(decoding: digits[index..<min(index + 2, digits.count)], as: UTF8.self), radix: 16))
        }
    }

    @Test("a client's message has these bytes and no others (W-29)", arguments: Samples.client.map(\.name))
    func client(_ name: String) throws {
        let message = try #require(Samples.client.first { $0.name == name }?.message)
        let bytes = WireCodec.encode(message)
        #expect(try bytes == Self.vector("client-\(name)", bytes))
        #expect(try WireCodec.decodeClient(bytes) == message)
    }

    @Test("a server's message has these bytes and no others (W-29)", arguments: Samples.server.map(\.name))
    func server(_ name: String) throws {
        let message = try #require(Samples.server.first { $0.name == name }?.message)
        let bytes = WireCodec.encode(message)
        #expect(try bytes == Self.vector("server-\(name)", bytes))
        #expect(try WireCodec.decodeServer(bytes) == message)
    }

    @Test("a row page has these bytes and no others (W-25, W-29)")
    func rowPage() throws {
        let bytes = RowPageSamples.mixed().finish()
        #expect(try bytes == Self.vector("row-page", bytes))
        #expect(try RowPageSamples.read(bytes) == RowPageSamples.mixedRows)
    }
}
