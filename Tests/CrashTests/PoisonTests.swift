import Foundation
import ProgramKit
import Testing

/// A commit that ends the server each time that it is merged, here by a failpoint.
@Suite("Poisonous commits", .serialized)
struct PoisonTests {
    @Test("are parked at the third start, and what waited behind them goes on (A4)", .timeLimit(.minutes(5)))
    func parked() async throws {
        try await World.with { world in
            let anna = try await world.join("Anna", territories: ["North"])
            let babak = try await world.join("Babak", territories: ["North"])
            try await anna.peyk("customer", "add", "--name", "Poison")
            for _ in 0..<2 {
                await world.server.kill()
                try await world.server.start(environment: ["PEYK_FAILPOINT": "server.commit.merged=kill"])
                let cut = try await anna.attempt(["sync"])
                #expect(cut.status != 0, "\(cut)")
                #expect(try await world.server.hasDied(within: 10), "\(cut)")
            }
            await world.server.kill()
            try await world.server.start()
            try await babak.peyk("customer", "add", "--name", "Fine")
            try await babak.sync()
            try await anna.sync()
            let list = try await anna.peyk("parked", "list", "--format", "json").json().rows
            #expect(list.count == 1, "\(list)")
            #expect(await world.server.log.contains("two crashes"))
            let names = try await anna.value("SELECT group_concat(name, ',') FROM customer")
            #expect(names == "Fine")
            try await anna.peyk("customer", "add", "--name", "After")
            try await anna.sync()
            try await babak.sync()
            #expect(try await anna.dump() == babak.dump())
        }
    }
}
