import SeededRandom

/// One random edit: the SQL of it, and what must be found afterwards.
package struct Edit: Sendable {
    package enum Trace: Sendable, Equatable {
        /// The author's last token of this cell must be in the state, the ledger or her issues.
        case last(cell: String, token: String)
        /// This token must be, whatever else she wrote.
        case each(token: String)
        case counter(delta: Int)
        case greatest(field: String, value: Int)
        case least(field: String, value: Int)
        case stage(String)
        /// Takes back whatever she wrote to this record and its children before.
        case delete
    }

    package var table: String
    package var record: String
    /// The record that it hangs on, if it is a child.
    package var parent: String?
    package var sql: String
    package var trace: Trace
}

/// Draws edits of all kinds and policies over records that all replicas share.
package struct EditMaker: Sendable {
    /// Customers with opportunities, customers without, opportunities, contacts: 300 in all.
    package static let customers = (0..<60).map { id(1, $0) }
    package static let loneCustomers = (0..<40).map { id(2, $0) }
    package static let opportunities = (0..<120).map { id(3, $0) }
    package static let contacts = (0..<80).map { id(4, $0) }

    private let author: Int
    private var random: SplitMix64
    private var number = 0
    private let stages: [String]

    /// - Parameter stages: ids of open stages, then of one won and one lost.
    package init(author: Int, seed: UInt64, stages: [String]) {
        self.author = author
        self.stages = stages
        random = SplitMix64(seed: seed &* 1_000 &+ UInt64(author))
    }

    package static func id(_ kind: Int, _ index: Int) -> String {
        let digits = String(index, radix: 16)
        return "0190c000-000\(kind)-7000-8000-" + String(repeating: "0", count: 12 - digits.count) + digits
    }

    /// The script that makes the 300 records, all in one territory.
    package static func setup(territory: String, stage: String) -> String {
        var script = ["BEGIN;"]
        for (index, id) in (customers + loneCustomers).enumerated() {
            script.append(
                "INSERT INTO customer(id, name, territory_id, description) VALUES "
                    + "('\(id)', 'Customer \(index)', '\(territory)', 'base line of \(index)');")
        }
        for (index, id) in opportunities.enumerated() {
            script.append(
                "INSERT INTO opportunity(id, name, customer_id, territory_id, stage_id, amount, currency) VALUES "
                    + "('\(id)', 'Deal \(index)', '\(customers[index % 60])', '\(territory)', '\(stage)', 1, 'EUR');")
        }
        for (index, id) in contacts.enumerated() {
            let customer = index < 40 ? loneCustomers[index] : customers[index % 60]
            script.append(
                "INSERT INTO contact(id, name, customer_id) VALUES ('\(id)', 'Contact \(index)', '\(customer)');")
        }
        return (script + ["COMMIT;"]).joined(separator: "\n")
    }

    private mutating func token() -> String {
        number += 1
        return "e\(author)x\(number)q"
    }

    package mutating func next() -> Edit {
        switch random.draw(100) {
        case ..<18:
            word("customer", random.pick(Self.customers + Self.loneCustomers), random.pick(["industry", "location"]))
        case ..<28: word("customer", random.pick(Self.customers), "name")
        case ..<34: vip()
        case ..<42: tag()
        case ..<50: line()
        case ..<57: visits()
        case ..<63: instant()
        case ..<72: amount()
        case ..<77: word("opportunity", random.pick(Self.opportunities), "name")
        case ..<83: stage()
        case ..<89: newContact()
        case ..<93: activity()
        case ..<96: delete("contact", random.pick(Self.contacts))
        case ..<98: delete("opportunity", random.pick(Self.opportunities))
        default: delete("customer", random.pick(Self.loneCustomers))
        }
    }

    private func update(_ table: String, _ record: String, _ assignment: String, _ trace: Edit.Trace) -> Edit {
        Edit(
            table: table, record: record, sql: "UPDATE \(table) SET \(assignment) WHERE id = '\(record)';", trace: trace
        )
    }

    private mutating func word(_ table: String, _ record: String, _ field: String) -> Edit {
        let token = token()
        return update(table, record, "\(field) = '\(token)'", .last(cell: field, token: token))
    }

    /// A group of two fields.
    private mutating func vip() -> Edit {
        let token = token()
        return update(
            "customer", random.pick(Self.customers), "vip = 1, vip_reason = '\(token)'",
            .last(cell: "vip", token: token))
    }

    private mutating func tag() -> Edit {
        let token = token()
        let set = "SELECT value FROM json_each(coalesce(tags, '[]')) UNION SELECT '\(token)' ORDER BY 1"
        return update(
            "customer", random.pick(Self.customers), "tags = (SELECT json_group_array(value) FROM (\(set)))",
            .each(token: token))
    }

    private mutating func line() -> Edit {
        let token = token()
        return update(
            "customer", random.pick(Self.customers),
            "description = coalesce(description || char(10), '') || '\(token)'", .each(token: token))
    }

    private mutating func visits() -> Edit {
        let delta = 1 + random.draw(5)
        return update("customer", random.pick(Self.customers), "visits = visits + \(delta)", .counter(delta: delta))
    }

    private mutating func instant() -> Edit {
        let value = 1_700_000_000_000 + random.draw(1_000_000_000)
        let record = random.pick(Self.customers)
        if random.draw(2) == 0 {
            return update(
                "customer", record, "last_activity_at = max(coalesce(last_activity_at, 0), \(value))",
                .greatest(field: "last_activity_at", value: value))
        }
        return update(
            "customer", record, "first_contact_at = min(coalesce(first_contact_at, 9000000000000), \(value))",
            .least(field: "first_contact_at", value: value))
    }

    /// The amount is the token: nine digits that nobody else writes.
    private mutating func amount() -> Edit {
        number += 1
        let token = String(900_000_000 + author * 1_000_000 + number)
        return update(
            "opportunity", random.pick(Self.opportunities),
            "amount = \(token), currency = '\(random.pick(["EUR", "USD"]))'",
            .last(cell: "amount", token: token))
    }

    private mutating func stage() -> Edit {
        // Closing is rarer than moving on.
        let stage = random.draw(8) == 0 ? random.pick(Array(stages.suffix(2))) : random.pick(Array(stages.dropLast(2)))
        return update("opportunity", random.pick(Self.opportunities), "stage_id = '\(stage)'", .stage(stage))
    }

    private mutating func newContact() -> Edit {
        let token = token()
        let parent = random.pick(Self.customers + Self.loneCustomers)
        let id = Self.id(5, author * 100_000 + number)
        return Edit(
            table: "contact", record: id, parent: parent,
            sql: "INSERT INTO contact(id, name, customer_id) SELECT '\(id)', '\(token)', id FROM customer "
                + "WHERE id = '\(parent)';",
            trace: .each(token: token))
    }

    private mutating func activity() -> Edit {
        let token = token()
        let parent = random.pick(Self.opportunities)
        let id = Self.id(6, author * 100_000 + number)
        return Edit(
            table: "activity", record: id, parent: parent,
            sql: "INSERT INTO activity(id, kind, subject, occurred_at, opportunity_id) "
                + "SELECT '\(id)', 'call', '\(token)', 1700000000000, id FROM opportunity WHERE id = '\(parent)';",
            trace: .each(token: token))
    }

    private func delete(_ table: String, _ record: String) -> Edit {
        Edit(table: table, record: record, sql: "DELETE FROM \(table) WHERE id = '\(record)';", trace: .delete)
    }
}

/// What must be found after a round in which nobody saw what the others did.
package struct Ledger: Sendable {
    package init() {}

    /// By author and cell: only her own last write counts.
    private var last: [String: String] = [:]
    private var each: [(record: String, parent: String?, token: String)] = []
    /// Over all rounds.
    package private(set) var visits: [String: Int] = [:]
    package private(set) var greatest: [String: Int] = [:]
    package private(set) var least: [String: Int] = [:]
    package private(set) var deleted: Set<String> = []

    /// Everybody has seen everything: what comes now supersedes it.
    package mutating func beginRound() {
        last = [:]
        each = []
    }

    package mutating func note(_ edit: Edit) {
        let record = edit.record
        switch edit.trace {
        case .last(let cell, let token): last["\(record) \(cell)"] = token
        case .each(let token): each.append((record, edit.parent, token))
        case .counter(let delta): visits[record, default: 0] += delta
        case .greatest(_, let value): greatest[record] = max(greatest[record] ?? value, value)
        case .least(_, let value): least[record] = min(least[record] ?? value, value)
        case .stage: break
        case .delete:
            deleted.insert(record)
            last = last.filter { !$0.key.hasPrefix(record) }
            each.removeAll { $0.record == record || $0.parent == record }
        }
    }

    /// Tokens that must be in the state, in the ledger, or in the author's issues.
    package var tokens: [String] { last.values.sorted() + each.map(\.token).sorted() }
}
