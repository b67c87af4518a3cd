import PeykModel
import PeykSession
import PeykTransport
import PeykWire

/// Whatever can be read must be the same after it was written and read again.
enum MessageBody {
    static func runClient(_ bytes: [UInt8]) {
        guard let message = try? WireCodec.decodeClient(bytes) else { return }
        let again = try? WireCodec.decodeClient(WireCodec.encode(message))
        must(again == message, "a client's message survives its encoding")
        // The client that is fed with it is at no state that knows it; the server must answer or close.
        var session = ServerSession()
        _ = session.received(message, bytes: bytes.count)
    }

    static func runServer(_ bytes: [UInt8]) {
        guard let message = try? WireCodec.decodeServer(bytes) else { return }
        let again = try? WireCodec.decodeServer(WireCodec.encode(message))
        must(again == message, "a server's message survives its encoding")
        var session = ClientSession(purpose: .sync, workspace: "sales")
        _ = session.received(message, bytes: bytes.count)
        if case .page(let page) = message { open(page) }
    }

    /// Odd first bytes: the rest is compressed.
    static func runPage(_ bytes: [UInt8]) {
        var reader = InputReader(bytes)
        let isPacked = reader.byte() & 1 == 1
        let size = isPacked ? Int(reader.byte()) << 8 | Int(reader.byte()) : 0
        let payload = Array(reader.rest)
        open(
            Page(
                table: 0, rowCount: 0, payload: payload, rawBytes: size, position: 1, last: nil, endsTable: true,
                endsBackfill: true, remaining: 0))
    }

    private static func open(_ page: Page) {
        guard let raw = try? PageCompression.decompress(page, limit: 1 << 20),
            let reader = try? RowPageReader(raw.payload)
        else { return }
        must(reader.ids.count == reader.rowCount, "a page has as many ids as rows")
        var builder = RowPageBuilder(columnCount: reader.columnCount)
        var rows: [(RecordID, Row, [CommitID])] = []
        reader.forEachRow { row in
            rows.append((row.id, row.row, Array(row.writers)))
            builder.append(row.id, row.row, writers: Array(row.writers))
        }
        must(rows.count == reader.rowCount, "a page gives each row once")
        guard let again = try? RowPageReader(builder.finish()) else {
            must(rows.isEmpty, "a page that was read can be written")
            return
        }
        var index = 0
        again.forEachRow { row in
            must(
                row.id == rows[index].0 && row.row == rows[index].1 && Array(row.writers) == rows[index].2,
                "a row survives its page")
            index += 1
        }
    }
}
