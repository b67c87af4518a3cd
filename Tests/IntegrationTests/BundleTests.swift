import Foundation
import ProgramKit
import Testing

/// Files for those who help, and the manual.
@Suite("Bundles and manual", .serialized)
struct BundleTests {
    @Test(
        "what was decided about a record can be decided again from a file without its values (doctor, replay)",
        .timeLimit(.minutes(5)))
    func replay() async throws {
        try await ConflictTests.Pair.with { pair in
            // A conflict of every common kind: money under review, a set, a text by lines, a counter, a stage.
            let files = pair.world.folder
            for (rep, amount) in [(pair.anna, "118 EUR"), (pair.babak, "90 EUR")] {
                try await rep.peyk("opp", "set", pair.opportunity, "amount=\(amount)")
                try await rep.peyk("customer", "set", pair.customer, "description=Secret \(amount)")
                try await rep.peyk("customer", "set", pair.customer, "tags=vip-\(amount.prefix(3))")
            }
            try await pair.anna.peyk("opp", "move", pair.opportunity, "Negotiation")
            try await pair.babak.peyk("opp", "lose", pair.opportunity, "--reason", "price")
            try await pair.settle()
            for (name, record) in [("opp", "opportunity/\(pair.opportunity)"), ("cust", "customer/\(pair.customer)")] {
                let file = files.appendingPathComponent("\(name).jsonl")
                try await pair.world.server.peykd("doctor", "--bundle", file.path, "--record", record)
                let text = try String(contentsOf: file, encoding: .utf8)
                #expect(!text.contains("Secret") && !text.contains("vip-") && !text.contains("Sensors"), "no values")
                let output = try await Program.peykd.run(["replay", file.path, "--format", "json"])
                #expect(output.status == 0, "\(output)")
                let merges = try output.json().rows
                #expect(merges.count >= 3, "\(output)")
                #expect(merges.allSatisfy { $0["same"].number == 1 })
                // A program that decides otherwise is found out.
                let forged = files.appendingPathComponent("forged.jsonl")
                try await pair.world.server.peykd(
                    "doctor", "--bundle", forged.path, "--record", record, "--values")
                try forge(forged)
                let other = try await Program.peykd.run(["replay", forged.path])
                #expect(other.status == 65 && other.out.contains("DIFFERENT"), "\(other)")
            }
        }
    }

    /// Turns the schema's policies around, as if another program had decided.
    private func forge(_ file: URL) throws {
        var text = try String(contentsOf: file, encoding: .utf8)
        for policy in ["review", "text"] {
            text = text.replacing("\"policy\":\"\(policy)\"", with: "\"policy\":\"lww\"")
        }
        try Data(text.utf8).write(to: file)
    }

    @Test("a replica's bundle has its structure and none of its values", .timeLimit(.minutes(5)))
    func replica() async throws {
        try await World.with { world in
            let anna = try await world.join("Anna", territories: ["North"])
            try await anna.peyk("customer", "add", "--name", "Canary Works", "industry=Canary trade")
            let file = world.folder.appendingPathComponent("bundle.jsonl")
            try await anna.peyk("doctor", "--offline", "--bundle", file.path)
            let text = try String(contentsOf: file, encoding: .utf8)
            let lines = try text.split(separator: "\n").map { try JSON(parsing: String($0)) }
            #expect(!text.contains("Canary"))
            #expect(lines.first?["replica"]["pending"].number == 1)
            let commit = lines.first { $0["line"].text == "commit" }
            let fields = commit?["changes"].list.first?["fields"] ?? .null
            #expect(fields["name"].text?.hasPrefix("text ") == true)
            #expect(fields["name"] != fields["industry"])
        }
    }

    @Test("a store that somebody changed is told from a whole one (peykd verify)", .timeLimit(.minutes(5)))
    func serverVerify() async throws {
        try await World.with { world in
            let anna = try await world.join("Anna", territories: ["North"])
            for name in ["One", "Two"] { try await anna.peyk("customer", "add", "--name", name) }
            try await anna.sync()
            let good = try await world.server.peykd("verify", "--format", "json").json()
            #expect(good["good"].number == 1, "\(good)")
            _ = try await world.server.stop()
            let store = world.server.data.appendingPathComponent("workspace.sqlite").path
            let change = try await Program.sqlite.run(
                [store, "UPDATE customer SET industry = 'rot' WHERE name = 'One';"])
            #expect(change.status == 0, "\(change)")
            let bad = try await world.server.peykd(["verify"], status: 65)
            #expect(bad.err.contains("is not as position"), "\(bad)")
        }
    }

    @Test("the manual pages name every command, and are well formed", arguments: ["peyk", "peykd"])
    func manual(name: String) async throws {
        let program = name == "peyk" ? Program.peyk : Program.peykd
        let page = try await program.run(["manual"])
        #expect(page.status == 0 && page.out.hasPrefix(".TH \(name.uppercased()) 1"), "\(page)")
        let help = try await program.run(["--help"]).out
        let commands = help.split(separator: "\n").filter { $0.hasPrefix("  ") && !$0.hasPrefix("   ") }
            .compactMap { $0.split(separator: " ").first.map(String.init) }
            .filter { $0.first?.isLetter == true && $0 != name }
        #expect(commands.count > 10)
        for command in commands where command != "See" {
            #expect(page.out.contains(".SS \(name) \(command.split(separator: ",")[0])"), "\(command)")
        }
        let groff = Program(url: URL(fileURLWithPath: "/usr/bin/groff"))
        guard groff.isThere else { return }
        let formatted = try await groff.run(["-man", "-ww", "-Kutf8", "-Tutf8", "-z"], input: page.out)
        #expect(formatted.err.isEmpty, "\(formatted)")
    }
}
