import PeykModel
import PeykServer
import Testing

@Suite("Administration")
struct AdminTests {
    private func done(
        _ office: Office, _ request: AdminRequest, sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> JSON {
        // As it travels over the control socket.
        let sent = try #require(
            AdminRequest(json: try JSON(parsing: request.json.text)), sourceLocation: sourceLocation)
        #expect(sent == request, sourceLocation: sourceLocation)
        let reply = Admin(office.workspace).run(sent)
        #expect(AdminReply(json: try JSON(parsing: reply.json.text)) == reply, sourceLocation: sourceLocation)
        switch reply {
        case .done(let document): return document
        case .failed(let failure): throw failure
        }
    }

    private func failure(_ office: Office, _ request: AdminRequest) -> AdminFailure.Kind? {
        guard case .failed(let failure) = Admin(office.workspace).run(request) else { return nil }
        return failure.kind
    }

    @Test("a user is added with a row and a grant, found by name, changed and disabled")
    func users() throws {
        let office = try Office()
        let anna = try done(office, .addUser(name: "Anna", role: .rep, territories: ["North"]))
        #expect(anna["territories"] == ["North"])
        let id = try #require(anna["id"]?.stringValue.flatMap { RecordID($0) })
        #expect(try office.value("user", id, "name") == .text("Anna"))
        #expect(failure(office, .addUser(name: "Anna", role: .rep, territories: [])) == .data)
        #expect(failure(office, .addUser(name: "Eva", role: .rep, territories: ["West"])) == .missing)
        let head = try office.workspace.head()
        let changed = try done(
            office, .setUser(name: "Anna", role: .manager, territories: ["South", "North"], isDisabled: nil))
        #expect(changed["role"] == "manager")
        #expect(try office.workspace.head() == head + 1, "a change of a grant takes a position (rule S1)")
        _ = try done(office, .setUser(name: "Anna", role: nil, territories: nil, isDisabled: true))
        #expect(try done(office, .listUsers).arrayValue?.first?["disabled"] == true)
        #expect(failure(office, .invite(user: "Anna", seconds: 60)) == .data)
    }

    @Test("a user row that an import made is taken, not doubled")
    func adoptsRow() throws {
        let office = try Office()
        try office.act([Sample.insert("user", Sample.id(77), ["name": "Babak"])])
        let babak = try done(office, .addUser(name: "Babak", role: .rep, territories: []))
        #expect(babak["id"] == .string(Sample.id(77).description))
        #expect(try office.store.read { try $0.count(of: Sample.key("user", Sample.id(1)).table) } == 1)
    }

    @Test("devices are listed with their lag and revoked with their family")
    func devices() throws {
        let team = try Team()
        let devices = try #require(try done(team.office, .listDevices).arrayValue)
        #expect(devices.count == 3)
        #expect(devices.allSatisfy { $0["state"] == "live" && $0["lag"]?.integerValue != nil })
        let site = try #require(devices.first?["site"]?.stringValue)
        _ = try done(team.office, .revokeDevice(String(site.prefix(8))))
        let after = try #require(try done(team.office, .listDevices).arrayValue)
        #expect(after.first { $0["site"]?.stringValue == site }?["state"] == "revoked")
        #expect(failure(team.office, .revokeDevice("ffffffffffffffff0")) == .missing)
    }

    @Test("why names every value, its author, and what it beat, with the vector clocks; settle closes the entry")
    func why() throws {
        let team = try Team()
        team.ann.set("opportunity", team.deal, ["amount": 200, "currency": "EUR"])
        team.office.time.advance(10)
        team.ben.set("opportunity", team.deal, ["amount": 300, "currency": "EUR"])
        try team.syncAll()
        let place = try #require(AdminRequest.RecordPlace("opportunity/\(team.deal).amount"))
        let document = try done(team.office, .history(place))
        let entries = try #require(document["entries"]?.arrayValue)
        #expect(entries.count == 3)
        #expect(entries.first?["kind"] == "insert")
        #expect(entries.allSatisfy { $0["clock"]?["anchor"]?.integerValue != nil && $0["user"]?.stringValue != nil })
        let beaten = entries.flatMap { $0["conflicts"]?.arrayValue ?? [] }.filter { $0["won"] == true }
        #expect(beaten.count == 1)
        #expect(beaten.first?["beat"]?.arrayValue?.count == 1)
        let open = try #require(try done(team.office, .listConflicts(all: false, table: nil, limit: 10)).arrayValue)
        #expect(open.count == 1)
        let id = try #require(open.first?["id"]?.stringValue)
        #expect(open.first?["name"] == "Deal")
        let settled = try done(team.office, .settleConflict(String(id.prefix(13))))
        #expect(settled["state"] == "settled")
        #expect(try done(team.office, .status)["conflicts_open"] == 0)
        #expect(failure(team.office, .history(AdminRequest.RecordPlace(table: "x", record: "0000"))) == .missing)
    }

    @Test("a schema grows by a list of additions; what would change a field is refused and nothing happens")
    func schema() throws {
        let office = try Office()
        let addition: JSON = [
            "add": ["fields": ["customer": [["name": "size", "type": "integer"]]]], "retire": ["customer.phone"],
        ]
        let check = try done(office, .checkSchema(addition))
        #expect(check["added"] == ["customer.size"])
        #expect(check["retired"] == ["customer.phone"])
        #expect(try office.workspace.schema().version == 1)
        _ = try done(office, .applySchema(addition))
        #expect(try office.workspace.schema().version == 2)
        #expect(try office.workspace.schema().table(named: "customer")?.fieldIndex("size") != nil)
        let same = try done(office, .applySchema(try done(office, .showSchema)))
        #expect(same["changes"] == false)
        #expect(try office.workspace.schema().version == 2)
        #expect(try done(office, .applySchema(addition))["changes"] == false, "the same file again changes nothing")
        let twice: JSON = ["add": ["fields": ["customer": [["name": "size", "type": "text"]]]]]
        #expect(failure(office, .applySchema(twice)) == .data)
        #expect(try office.workspace.schema().version == 2)
    }

    @Test("a dump as a user is what her replica holds, line by line; a whole dump is the manager's")
    func dump() throws {
        let team = try Team()
        func lines(as user: String?) throws -> [[UInt8]] {
            var lines: [[UInt8]] = []
            try team.office.store.read { try AdminDump($0).write(as: user) { lines.append($0) } }
            return lines
        }
        func lines(of device: Device) throws -> [[UInt8]] {
            let schema = try team.office.workspace.schema()
            return schema.dumpOrder.flatMap { index in
                device.rows.filter { $0.key.table == index }.sorted { $0.key < $1.key }
                    .map { $0.value.dumpLine(table: schema.tables[index], record: $0.key.record) }
            }
        }
        try team.syncAll()
        #expect(try lines(as: "Ann") == lines(of: team.ann))
        #expect(try lines(as: nil) == lines(of: team.manager))
        #expect(throws: AdminFailure.self) { try lines(as: "Nobody") }
    }
}
