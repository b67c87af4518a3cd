import Foundation
import ProgramKit
import Testing

/// Two reps of one territory, the real programs, real sockets.
@Suite("Two reps, one record", .serialized)
struct ConflictTests {
    /// Anna and Babak, with one customer and one opportunity that both hold.
    struct Pair: Sendable {
        var world: World
        var anna: ReplicaProcess
        var babak: ReplicaProcess
        var customer: String
        var opportunity: String

        static func with<Result>(_ body: (Pair) async throws -> Result) async throws -> Result {
            try await World.with { world in
                let anna = try await world.join("Anna", territories: ["North"])
                let babak = try await world.join("Babak", territories: ["North"])
                let customer = try await anna.peyk("customer", "add", "--name", "Blue Harbour").trimmed
                let opportunity = try await anna.peyk(
                    "opp", "add", "--name", "Sensors", "--customer", customer, "--amount", "100 EUR",
                    "--stage", "Proposal"
                ).trimmed
                try await anna.sync()
                try await babak.sync()
                return try await body(
                    Pair(world: world, anna: anna, babak: babak, customer: customer, opportunity: opportunity))
            }
        }

        /// Both sync until neither has anything new, then everybody is compared.
        func settle() async throws {
            for replica in [anna, babak, anna, babak] { try await replica.sync() }
            let server = try await world.server.dump()
            let dumps = [try await anna.dump(), try await babak.dump()]
            // Both hold all there is, but for what is private: there are no tasks here.
            expectEqual(dumps[0], server, "Anna and the server")
            expectEqual(dumps[1], server, "Babak and the server")
        }

        func conflicts(_ replica: ReplicaProcess) async throws -> [JSON] {
            try await replica.peyk("conflicts", "list", "--format", "json").json().rows
        }

        func field(_ name: String, on replica: ReplicaProcess) async throws -> String {
            try await replica.value("SELECT \(name) FROM opportunity WHERE id = '\(opportunity)'")
        }
    }

    @Test("edits of different fields both stand, without an entry in the ledger (M1, P2)", .timeLimit(.minutes(5)))
    func differentFields() async throws {
        try await Pair.with { pair in
            try await pair.anna.peyk("opp", "set", pair.opportunity, "close_date=2027-03-31")
            try await pair.babak.peyk("opp", "set", pair.opportunity, "name=Sensors for berth 4")
            try await pair.settle()
            #expect(
                try await pair.field("close_date || '|' || name", on: pair.anna) == "2027-03-31|Sensors for berth 4")
            #expect(try await pair.conflicts(pair.anna) == [])
            #expect(try await pair.conflicts(pair.babak) == [])
        }
    }

    @Test(
        "of edits of the same field one wins, both see the other, and it can be restored (M1, M7)",
        .timeLimit(.minutes(5)))
    func sameField() async throws {
        try await Pair.with { pair in
            try await pair.anna.peyk("opp", "set", pair.opportunity, "close_date=2027-01-31")
            try await pair.babak.peyk("opp", "set", pair.opportunity, "close_date=2027-02-28")
            try await pair.settle()
            #expect(try await pair.field("close_date", on: pair.anna) == "2027-02-28", "the later stamp wins")
            let seen = [try await pair.conflicts(pair.anna), try await pair.conflicts(pair.babak)]
            #expect(seen.map(\.count) == [1, 1])
            let entry = try #require(seen[0].first)
            let id = try #require(entry["id"].text)

            let why = try await pair.anna.peyk("why", "opportunity/\(pair.opportunity).close_date", "--format", "json")
            for value in ["2027-01-31", "2027-02-28"] {
                #expect(why.out.contains(value), "the chain has \(value): \(why)")
            }
            #expect(why.out.contains("anchor") || why.out.contains("clock"), "with the vector clocks: \(why)")

            try await pair.anna.peyk("conflicts", "restore", id)
            try await pair.settle()
            #expect(try await pair.field("close_date", on: pair.babak) == "2027-01-31", "the loser is back")
            let open = try await pair.conflicts(pair.babak).filter { $0["state"].text == "open" }
            #expect(open == [], "the edit that brought it back covers winner and loser, so the entry is closed")
        }
    }

    @Test(
        "a rep who saw the other's edit wins, with a clock three days slow against one two days fast (P10)",
        .enabled(if: ShiftedClock.canBeMade, "there is no clang here"), .timeLimit(.minutes(5)))
    func causalityBeatsClocks() async throws {
        try await Pair.with { pair in
            let fast = try await ShiftedClock.environment(days: 2, in: pair.world.folder)
            let slow = try await ShiftedClock.environment(days: -3, in: pair.world.folder)
            try await pair.anna.peyk(["opp", "set", pair.opportunity, "close_date=2027-01-31"], environment: fast)
            try await pair.anna.sync(environment: fast)
            try await pair.babak.sync()
            try await pair.babak.peyk(["opp", "set", pair.opportunity, "close_date=2027-02-28"], environment: slow)
            try await pair.babak.sync(environment: slow)
            try await pair.settle()
            #expect(try await pair.field("close_date", on: pair.anna) == "2027-02-28")
            #expect(try await pair.conflicts(pair.anna) == [], "what was seen is no conflict")
        }
    }

    @Test(
        "an update beats a concurrent delete, whichever comes first, and the ledger says so (D1)",
        .timeLimit(.minutes(5)), arguments: [true, false])
    func deleteAgainstUpdate(deleteFirst: Bool) async throws {
        try await Pair.with { pair in
            try await pair.anna.peyk("opp", "delete", "--yes", pair.opportunity)
            try await pair.babak.peyk("opp", "set", pair.opportunity, "next_step=Call on Monday")
            for replica in deleteFirst ? [pair.anna, pair.babak] : [pair.babak, pair.anna] { try await replica.sync() }
            try await pair.settle()
            #expect(try await pair.field("next_step", on: pair.anna) == "Call on Monday")
            let kinds = try await pair.conflicts(pair.anna).compactMap { $0["kind"].text }
            #expect(kinds.contains("delete"), "the ledger has the delete that lost: \(kinds)")
        }
    }

    @Test("a new child brings its deleted parent back (D1)", .timeLimit(.minutes(5)))
    func childOfDeletedParent() async throws {
        try await Pair.with { pair in
            let lone = try await pair.anna.peyk("customer", "add", "--name", "Lone Star").trimmed
            try await pair.settle()
            try await pair.anna.peyk("customer", "delete", "--yes", lone)
            let contact = try await pair.babak.peyk("contact", "add", "--name", "Sara", "--customer", lone).trimmed
            try await pair.settle()
            #expect(try await pair.anna.value("SELECT name FROM customer WHERE id = '\(lone)'") == "Lone Star")
            #expect(try await pair.anna.value("SELECT customer_id FROM contact WHERE id = '\(contact)'") == lone)
        }
    }

    @Test("writes of the sqlite3 program are captured, sealed and synced (K1, K2, C7)", .timeLimit(.minutes(5)))
    func otherPrograms() async throws {
        try await Pair.with { pair in
            _ = try await pair.anna.sqlite(
                """
                BEGIN;
                UPDATE opportunity SET next_step = 'by hand' WHERE id = '\(pair.opportunity)';
                REPLACE INTO contact(id, name, customer_id)
                    VALUES ('0190c000-0000-7000-8000-000000000001', 'Reza', '\(pair.customer)');
                COMMIT;
                REPLACE INTO contact(id, name, customer_id)
                    VALUES ('0190c000-0000-7000-8000-000000000001', 'Reza Amini', '\(pair.customer)');
                """)
            try await pair.settle()
            #expect(try await pair.field("next_step", on: pair.babak) == "by hand")
            #expect(try await pair.babak.value("SELECT name FROM contact") == "Reza Amini")
        }
    }

    @Test("a sync with nothing to do takes at most 2 round trips and 2 KB (P26)", .timeLimit(.minutes(5)))
    func idleSync() async throws {
        try await Pair.with { pair in
            try await pair.settle()
            let idle = try await pair.anna.sync()
            let trips = try #require(idle["round_trips"].number)
            let bytes = try #require(idle["bytes_out"].number) + (idle["bytes_in"].number ?? 0)
            #expect(trips <= 2, "\(trips) round trips")
            #expect(bytes <= 2_048, "\(bytes) bytes")
            #expect(idle["pushed"].number == 0 && idle["pulled"].number == 0)
        }
    }

    @Test("errors are told in Persian to who asks for it, with the same exit codes", .timeLimit(.minutes(5)))
    func persianErrors() async throws {
        try await World.with { world in
            let sara = try await world.join("Sara", role: "manager")
            let wrong: [([String], Int32)] = [
                (["customer", "show", "nobody"], 66), (["customer", "set", "nobody", "x=1"], 66),
                (["customer", "add", "--name", ""], 64), (["sql", "DELETE FROM customer"], 64), (["why", "x"], 64),
                (["conflicts", "show", "77"], 66), (["customer", "list", "--where", "'"], 64),
                (["report", "nothing"], 64), (["undo", "zz"], 64),
            ]
            for (command, status) in wrong {
                let english = try await sara.peyk(command, status: status).err
                let persian = try await sara.peyk(command + ["--lang", "fa"], status: status).err
                #expect(english.unicodeScalars.allSatisfy { !(0x600...0x6FF).contains($0.value) }, "\(english)")
                #expect(
                    persian.unicodeScalars.contains { (0x600...0x6FF).contains($0.value) }, "\(command): \(persian)")
            }
            _ = try await world.server.stop()
            let offline = try await sara.peyk(["sync", "--lang", "fa", "--timeout", "2"], status: 69).err
            #expect(offline.contains("محفوظ"), "what is safe comes with it: \(offline)")
        }
    }
}
