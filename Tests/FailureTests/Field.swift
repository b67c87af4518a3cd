import Foundation
import ProgramKit
import Testing

/// Two reps of North and their manager, with one customer and one opportunity that all hold.
struct Field: Sendable {
    let world: World
    let anna: ReplicaProcess
    let babak: ReplicaProcess
    let maria: ReplicaProcess
    let north: String
    let customer: String

    static func with<Result>(_ body: (Field) async throws -> Result) async throws -> Result {
        try await World.with { world in
            let anna = try await world.join("Anna", territories: ["North"])
            let babak = try await world.join("Babak", territories: ["North"])
            let maria = try await world.join("Maria", role: "manager")
            let north = try await anna.value("SELECT id FROM territory WHERE name = 'North'")
            let customer = try await maria.peyk(
                "customer", "add", "--name", "Blue Harbour", "--territory", north
            ).trimmed
            let field = Field(world: world, anna: anna, babak: babak, maria: maria, north: north, customer: customer)
            for replica in [maria] + field.all { try await replica.sync() }
            return try await body(field)
        }
    }

    var all: [ReplicaProcess] { [anna, babak, maria] }

    /// Everybody syncs until nothing moves; then all of `replicas` must hold what the server does.
    func settle(_ replicas: [ReplicaProcess]? = nil, at location: SourceLocation = #_sourceLocation) async throws {
        let replicas = replicas ?? all
        for pass in 1...8 {
            var moved = 0
            for replica in replicas {
                let summary = try await replica.sync()
                moved += (summary["pushed"].number ?? 0) + (summary["pulled"].number ?? 0)
            }
            if moved == 0 { break }
            try #require(pass < 8, "still moving changes after 8 passes (P26)", sourceLocation: location)
        }
        let server = try await world.server.dump()
        for replica in replicas {
            let name = replica.home.lastPathComponent
            expectEqual(try await replica.dump(), server, "\(name) and the server", at: location)
        }
    }

    func industry(_ replica: ReplicaProcess) async throws -> String {
        try await replica.value("SELECT coalesce(industry, '') FROM customer WHERE id = '\(customer)'")
    }

    /// One statement of SQL as one commit.
    @discardableResult
    func write(_ sql: String, on replica: ReplicaProcess) async throws -> Program.Output {
        try await replica.peyk("sql", "--write", sql)
    }

    /// Many statements in one transaction of another program, as one commit.
    func script(_ statements: [String], on replica: ReplicaProcess) async throws {
        _ = try await replica.sqlite(
            (["PRAGMA foreign_keys = ON;", "PRAGMA recursive_triggers = ON;", "BEGIN IMMEDIATE;"] + statements
                + ["COMMIT;"]).joined(separator: "\n"))
        try await replica.peyk("status")
    }

    /// A replica of Anna's that reaches the server over a line of the test's own.
    func annaOver(_ line: FaultyLine) async throws -> ReplicaProcess {
        let replica = world.replica("anna-line")
        try await replica.peyk("join", try await world.server.invite("Anna", "--public", line.address))
        return replica
    }

    func line(seed: UInt64 = 1) async throws -> FaultyLine {
        try await FaultyLine(to: try #require(await world.server.address), seed: seed)
    }
}
