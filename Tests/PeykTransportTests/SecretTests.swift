import Crypto
import Foundation
import PeykModel
import PeykSession
import PeykTransport
import Testing

@Suite("Device keys and secret files")
struct SecretTests {
    private func inFolder(_ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "peyk-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try body(folder.path)
    }

    @Test("a key is made once, read back, readable by its owner alone, and signs")
    func key() throws {
        try inFolder { folder in
            let path = folder + "/device.key"
            let key = try DeviceKey.create(at: path)
            let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
            #expect(mode == 0o600)
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["device.key"])
            let again = try DeviceKey(contentsOf: path)
            #expect(again.publicKey == key.publicKey)
            let signature = try again.sign([1, 2, 3])
            #expect(signature.count == 64)
            let verifier = try Curve25519.Signing.PublicKey(rawRepresentation: key.publicKey)
            #expect(verifier.isValidSignature(signature, for: [1, 2, 3] as [UInt8]))
            #expect(throws: DeviceKey.Failure.self) { try DeviceKey.create(at: path) }
            #expect(try DeviceKey(contentsOf: path).publicKey == key.publicKey)
            let secret = try String(contentsOfFile: path, encoding: .utf8)
            #expect(!secret.contains("\(key)".dropFirst("device key ".count)))
        }
    }

    @Test("a key that others may read, or that is damaged or missing, is refused with what to do")
    func badKeys() throws {
        try inFolder { folder in
            let path = folder + "/device.key"
            #expect(throws: DeviceKey.Failure.self) { try DeviceKey(contentsOf: path) }
            _ = try DeviceKey.create(at: path)
            try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: path)
            let error = #expect(throws: DeviceKey.Failure.self) { try DeviceKey(contentsOf: path) }
            #expect(error?.description.contains("chmod 600") == true)
            try SecretFile.replace(path, Array("peyk-device-key-1 AAAA\n".utf8))
            #expect(throws: DeviceKey.Failure.damaged(path: path)) { try DeviceKey(contentsOf: path) }
        }
    }

    @Test("a secret file is replaced in one step, and never read beyond its limit")
    func replace() throws {
        try inFolder { folder in
            let path = folder + "/secret"
            try SecretFile.replace(path, [1])
            try SecretFile.replace(path, [2, 3])
            #expect(try SecretFile.read(path) == [2, 3])
            #expect(throws: SecretFile.Failure.self) { try SecretFile.read(path, limit: 1) }
            #expect(throws: SecretFile.Failure.self) { try SecretFile.create(folder + "/none/x", [1]) }
        }
    }
}

@Suite("Compression of pages")
struct PageCompressionTests {
    private func page(_ payload: [UInt8]) -> Page {
        Page(
            table: 1, rowCount: 1, payload: payload, position: 1, last: nil, endsTable: true, endsBackfill: false,
            remaining: 0)
    }

    @Test("a page comes back as it was", arguments: [0, 1, 127, 128, 5_000, 1 << 20])
    func roundTrip(size: Int) throws {
        let raw = page((0..<size).map { UInt8(truncatingIfNeeded: $0 / 7) })
        let packed = PageCompression.compress(raw)
        #expect(packed.payload.count <= raw.payload.count)
        if size > 200 { #expect(packed.payload.count < size / 2 && packed.rawBytes == size) }
        #expect(PageCompression.compress(packed) == packed)
        #expect(try PageCompression.decompress(packed) == raw)
    }

    @Test("what does not shrink is left alone")
    func noise() {
        var state: UInt64 = 1
        let noise: [UInt8] = (0..<1_000).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 56)
        }
        #expect(PageCompression.compress(page(noise)).rawBytes == 0)
    }

    @Test("a bomb, a lie about the size and cut data are refused within the declared memory (W-26)")
    func hostile() {
        let packed = PageCompression.compress(page([UInt8](repeating: 0, count: 1 << 20)))
        #expect(packed.payload.count < 200)
        #expect(throws: TransportError.self) { try PageCompression.decompress(packed, limit: (1 << 20) - 1) }
        for change in [-1, 1, 1 << 40] {
            var lie = packed
            lie.rawBytes += change
            #expect(throws: TransportError.self) { try PageCompression.decompress(lie) }
        }
        for count in 0..<packed.payload.count {
            var cut = packed
            cut.payload = Array(cut.payload.prefix(count))
            #expect(throws: TransportError.self) { try PageCompression.decompress(cut) }
        }
        var random = packed
        for index in random.payload.indices {
            random.payload[index] ^= 0x55
            _ = try? PageCompression.decompress(random)
        }
    }
}
