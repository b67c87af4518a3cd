import Foundation

/// A rep at work: every write of hers that ended with exit 0 is noted, so that it can be asked for later.
///
/// She works on a customer of her own and on one that all reps share. What she does is made to be counted and told
/// apart: contacts with unique names; a counter to which each visit adds one; *pairs*, one transaction of another
/// program that adds to her own customer's counter and inserts a contact, so that a torn commit shows (P12); and
/// *words*, writes to one cell by everybody, each of which notes the word that it replaced (P2, P10).
package struct Rep: Sendable {
    package let name: String
    package let replica: ReplicaProcess
    /// Her own customer.
    package let own: String
    /// Names of contacts that must be there, each once.
    package private(set) var contacts: Set<String> = []
    /// Visits to the shared customer.
    package private(set) var visits = 0
    /// Words that she wrote into the shared cell, with the word that each replaced.
    package private(set) var words: [(word: String, over: String)] = []
    /// Writes under way when a kill came, which were there afterwards, and which were not: both are right.
    package private(set) var killedAfter = 0
    package private(set) var killedBefore = 0
    /// What this replica has shown, in order: contacts never leave, words go forward (P11).
    package private(set) var shown: Set<String> = []
    package private(set) var read: [String] = []
    private var count = 0

    /// The customer that all reps visit.
    package static let shared = EditMaker.id(9, 0)
    /// A killed process, as shells say it.
    package static let killed: Int32 = 137

    /// - Parameter index: tells her own customer's id; unique in the world.
    package init(_ name: String, _ replica: ReplicaProcess, index: Int) {
        self.name = name
        self.replica = replica
        own = EditMaker.id(8, index)
    }

    /// Somebody who goes on with a copy of this one's files: she has what this one wrote, and adds under her own name.
    package init(_ name: String, _ replica: ReplicaProcess, copyOf other: Rep) {
        self.init(name, replica, own: other.own, contacts: other.contacts)
    }

    private init(_ name: String, _ replica: ReplicaProcess, own: String, contacts: Set<String>) {
        self.name = name
        self.replica = replica
        self.own = own
        self.contacts = contacts
    }

    /// The first rep makes the shared customer, each her own.
    package func begin(territory: String, makesShared: Bool = false) async throws {
        for id in makesShared ? [Self.shared, own] : [own] {
            try await replica.peyk(
                "sql", "--write",
                "INSERT INTO customer(id, name, territory_id) VALUES ('\(id)', 'Customer of \(name)', '\(territory)')")
        }
    }

    private mutating func nextName() -> String {
        count += 1
        return "\(name)-\(count)."
    }

    // MARK: Writing

    /// Adds a contact; the command may be killed.
    @discardableResult
    package mutating func addContact(_ environment: [String: String] = [:]) async throws -> Program.Output {
        let contact = nextName()
        let output = try await replica.attempt(
            ["contact", "add", "--name", contact, "--customer", own], environment: environment)
        let isThere = try await replica.value("SELECT count(*) FROM contact WHERE name = '\(contact)'") == "1"
        if try judge(output, isThere) { contacts.insert(contact) }
        return output
    }

    /// Visits the shared customer; the command may be killed.
    @discardableResult
    package mutating func visit(_ environment: [String: String] = [:]) async throws -> Program.Output {
        let before = try await sharedVisits()
        let output = try await replica.attempt(
            ["sql", "--write", "UPDATE customer SET visits = visits + 1 WHERE id = '\(Self.shared)'"],
            environment: environment)
        let isThere = try await sharedVisits() == before + 1
        if try judge(output, isThere) { visits += 1 }
        return output
    }

    /// Writes a word of hers into the cell that all write; the command may be killed.
    @discardableResult
    package mutating func say(_ environment: [String: String] = [:]) async throws -> Program.Output {
        let before = try await sharedWord()
        let word = nextName()
        let output = try await replica.attempt(
            ["sql", "--write", "UPDATE customer SET industry = '\(word)' WHERE id = '\(Self.shared)'"],
            environment: environment)
        let isThere = try await sharedWord() == word
        if try judge(output, isThere) { words.append((word, before)) }
        return output
    }

    /// One transaction of the sqlite3 program, captured by triggers and sealed by whatever comes next.
    package mutating func pair() async throws {
        let contact = "pair " + nextName()
        let id = UUID().uuidString.lowercased()
        _ = try await replica.sqlite(
            """
            PRAGMA foreign_keys = ON;
            PRAGMA recursive_triggers = ON;
            BEGIN IMMEDIATE;
            UPDATE customer SET visits = visits + 1 WHERE id = '\(own)';
            INSERT INTO contact(id, name, customer_id) VALUES ('\(id)', '\(contact)', '\(own)');
            COMMIT;
            """)
        contacts.insert(contact)
    }

    private func sharedVisits() async throws -> Int {
        let text = try await replica.value("SELECT visits FROM customer WHERE id = '\(Self.shared)'")
        guard let visits = Int(text) else { throw Program.Failure(description: "\(name) has no shared customer") }
        return visits
    }

    private func sharedWord() async throws -> String {
        try await replica.value("SELECT coalesce(industry, '') FROM customer WHERE id = '\(Self.shared)'")
    }

    /// Whether a write came about: exit 0 says yes, a kill leaves it open, and anything else is a failure.
    private mutating func judge(_ output: Program.Output, _ isThere: Bool) throws -> Bool {
        switch output.status {
        case 0:
            guard isThere else { throw Program.Failure(description: "exit 0, and it is not there (P15): \(output)") }
        case Self.killed:
            if isThere { killedAfter += 1 } else { killedBefore += 1 }
        default: throw Program.Failure(description: "\(name): \(output)")
        }
        return isThere
    }

    // MARK: Looking

    /// What is wrong with her replica; empty where it is whole, all that she wrote is there, and nothing went
    /// backwards (P11, P12, P15, P22).
    package mutating func findings() async throws -> [String] {
        let output = try await replica.sqlite(
            """
            PRAGMA integrity_check;
            SELECT 'orphan ' || "table" FROM pragma_foreign_key_check;
            SELECT 'torn ' || c.name || ' ' || c.visits FROM customer c WHERE c.id <> '\(Self.shared)'
            AND c.visits <> (SELECT count(*) FROM contact p WHERE p.customer_id = c.id AND p.name LIKE 'pair %');
            SELECT 'word ' || coalesce(industry, '') FROM customer WHERE id = '\(Self.shared)';
            SELECT 'contact ' || name FROM contact;
            SELECT 'issue ' || hex(payload) FROM peyk_issue WHERE state = 'open' AND payload IS NOT NULL;
            """)
        var found: [String] = []
        var seen: [String: Int] = [:]
        var parked: [String] = []
        if output.lines.first != "ok" { found.append("integrity_check: \(output.lines.prefix(3))") }
        for line in output.lines.dropFirst() {
            if line.hasPrefix("contact ") {
                seen[String(line.dropFirst("contact ".count)), default: 0] += 1
            } else if line.hasPrefix("issue ") {
                parked.append(String(line.dropFirst("issue ".count)))
            } else if line.hasPrefix("word ") {
                let word = String(line.dropFirst("word ".count))
                if read.last != word { read.append(word) }
            } else {
                found.append(line)
            }
        }
        for contact in contacts.sorted() where seen[contact] == nil {
            // A commit that was under way when the server crashed twice is parked, and hers to see (rule A4).
            let bytes = contact.utf8.map { String(format: "%02X", $0) }.joined()
            if !parked.contains(where: { $0.contains(bytes) }) { found.append("lost: \(contact)") }
        }
        for contact in shown.subtracting(contacts).sorted() where seen[contact] == nil {
            found.append("shown before, and gone: \(contact)")
        }
        for (contact, count) in seen.sorted(by: { $0.key < $1.key }) where count > 1 {
            found.append("\(count) times: \(contact)")
        }
        shown.formUnion(seen.keys)
        return found.map { "\(name): \($0)" }
    }

    /// Makes again what was parked, as its author would.
    package func retryParked() async throws {
        for issue in try await replica.peyk("parked", "list", "--format", "json").json().rows {
            guard let number = issue["id"].number, issue["state"].text == "open" else { continue }
            try await replica.peyk("parked", "retry", String(number))
        }
    }

    /// The server went back to a backup: what others wrote since may be gone until they have brought it again.
    package mutating func serverWasRestored() {
        shown.formIntersection(contacts)
        read = []
    }

    /// Her files are those of an earlier time now: what they show begins anew.
    package mutating func wasRestored() {
        shown = []
        read = []
    }
}

extension ReplicaProcess {
    /// What its user was told to be durable: commit ids, hexadecimal (P16).
    package func acknowledged() async throws -> Set<String> {
        let rows = try await value(
            "SELECT hex(id) FROM peyk_commit WHERE state IN (1, 2) AND position IS NOT NULL")
        return Set(rows.split(separator: "\n").map(String.init))
    }
}

/// Numbers that the environment gives a run.
package enum RunSettings {
    package static func number(_ name: String, _ standard: Int) -> Int {
        ProcessInfo.processInfo.environment[name].flatMap { Int($0) } ?? standard
    }

    /// One seed makes the whole run; `PEYK_SEED` replays it.
    package static var seed: UInt64 { UInt64(number("PEYK_SEED", 1)) }
}
