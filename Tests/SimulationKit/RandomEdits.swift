public import PeykModel
public import SeededRandom

/// One SQL statement of a random edit.
public struct Statement: Hashable, Sendable {
    public var sql: String
    public var values: [Value]
    public init(_ sql: String, _ values: [Value]) {
        self.sql = sql
        self.values = values
    }
}

/// Draws edits over ``TestSchema``: every statement kind, every policy. What a statement finds missing it does
/// not touch, as with a person who edits what she sees.
public struct RandomEdits: Sendable {
    public var random: SplitMix64
    let customers: Int
    let opportunities: Int
    let territories: Int
    let site: Int
    private var made = 0

    public init(seed: UInt64, site: Int, customers: Int, opportunities: Int, territories: Int) {
        random = SplitMix64(seed: seed &* 1_000_003 &+ UInt64(site))
        self.site = site
        self.customers = customers
        self.opportunities = opportunities
        self.territories = territories
    }

    /// Other draws over the same records.
    init(seed: UInt64, site: Int, like other: RandomEdits) {
        self.init(
            seed: seed, site: site, customers: other.customers, opportunities: other.opportunities,
            territories: other.territories)
    }

    /// Fresh ids go on from there, so that two generators of one site need not meet.
    public mutating func skipIDs(_ count: Int) { made += count }

    /// The statements of one transaction.
    public mutating func next() -> [Statement] {
        var statements = [edit()]
        while random.chance(20) { statements.append(edit()) }
        return statements
    }

    private mutating func edit() -> Statement {
        switch random.draw(100) {
        case 0..<60: update()
        case 60..<75: updateMany()
        case 75..<84: insert()
        case 84: note()
        case 85..<93: replace()
        default: delete()
        }
    }

    private mutating func customer() -> Value { Value(TestSchema.customer(random.draw(customers))) }
    private mutating func opportunity() -> Value { Value(TestSchema.opportunity(random.draw(opportunities))) }
    private mutating func word() -> Value { .text("s\(site)-\(random.draw(1_000))") }

    private mutating func update() -> Statement {
        switch random.draw(14) {
        case 0: return Statement("UPDATE customer SET name = ? WHERE id = ?", [word(), customer()])
        case 1: return Statement("UPDATE customer SET phone = ? WHERE id = ?", [word(), customer()])
        case 2: return Statement("UPDATE customer SET city = ? WHERE id = ?", [word(), customer()])
        case 3: return Statement("UPDATE customer SET street = ?, city = ? WHERE id = ?", [word(), word(), customer()])
        case 4:
            let tags = ValueSet((0..<random.draw(4)).map { _ in "tag\(random.draw(6))" })
            return Statement("UPDATE customer SET tags = ? WHERE id = ?", [.text(tags.json), customer()])
        case 5:
            let delta = Int64(random.draw(7)) - 3
            return Statement("UPDATE customer SET visits = visits + ? WHERE id = ?", [.integer(delta), customer()])
        case 6:
            let line = ["one", "two", "three", "four"][random.draw(4)]
            return Statement(
                "UPDATE customer SET memo = replace(memo, ?, ?) WHERE id = ?", [.text(line), word(), customer()])
        case 7:
            let day = CalendarDate(year: 2020, month: 1 + random.draw(12), day: 1 + random.draw(28))
            return Statement(
                "UPDATE customer SET since = ? WHERE id = ? AND since IS NULL",
                [.text(day?.description ?? "2020-01-01"), customer()])
        case 8:
            return Statement(
                "UPDATE customer SET best = ? WHERE id = ?", [.integer(Int64(random.draw(1_000))), customer()])
        case 9:
            return Statement(
                "UPDATE customer SET floor = ? WHERE id = ?", [.integer(-Int64(random.draw(1_000))), customer()])
        case 10:
            return Statement(
                "UPDATE opportunity SET stage_id = ? WHERE id = ? AND stage_id NOT IN (?, ?)",
                [
                    Value(TestSchema.stage(random.draw(5))), opportunity(), Value(TestSchema.stage(3)),
                    Value(TestSchema.stage(4)),
                ])
        case 11:
            return Statement(
                "UPDATE opportunity SET amount = ?, currency = ? WHERE id = ?",
                [.integer(Int64(random.draw(100_000))), .text(["EUR", "USD", "IRR"][random.draw(3)]), opportunity()])
        case 12:
            return Statement(
                "UPDATE opportunity SET close_date = ? WHERE id = ?",
                [.text("2026-0\(1 + random.draw(9))-15"), opportunity()])
        default:
            return Statement(
                "UPDATE opportunity SET customer_id = (SELECT id FROM customer WHERE id = ?) WHERE id = ?",
                [customer(), opportunity()])
        }
    }

    private mutating func updateMany() -> Statement {
        switch random.draw(4) {
        case 0: Statement("UPDATE contact SET phone = ? WHERE customer_id = ?", [word(), customer()])
        case 1: Statement("UPDATE opportunity SET name = ? WHERE customer_id = ?", [word(), customer()])
        case 2:
            Statement(
                "UPDATE customer SET territory_id = ? WHERE id = ?",
                [Value(TestSchema.territory(random.draw(territories))), customer()])
        default:
            Statement(
                "UPDATE opportunity SET partner_id = (SELECT id FROM customer WHERE id = ?) WHERE id = ?",
                [customer(), opportunity()])
        }
    }

    private mutating func freshID() -> Value {
        made += 1
        return Value(TestSchema.id(100 + UInt64(site), made))
    }

    private mutating func insert() -> Statement {
        switch random.draw(4) {
        case 0:
            Statement(
                "INSERT INTO customer (id, name, territory_id) VALUES (?, ?, ?)",
                [freshID(), word(), Value(TestSchema.territory(random.draw(territories)))])
        case 1, 2:
            Statement(
                "INSERT INTO contact (id, customer_id, name) SELECT ?, id, ? FROM customer WHERE id = ?",
                [freshID(), word(), customer()])
        default:
            Statement(
                "INSERT INTO opportunity (id, name, territory_id, customer_id, stage_id) "
                    + "SELECT ?, ?, territory_id, id, ? FROM customer WHERE id = ?",
                [freshID(), word(), Value(TestSchema.stage(random.draw(3))), customer()])
        }
    }

    /// Private: only its owner sees it (rule D3). The replica knows its user by the name that IT gave her.
    private mutating func note() -> Statement {
        Statement(
            "INSERT INTO note (id, owner_id, body) SELECT ?, user_id, ? FROM "
                + "(SELECT u.id AS user_id FROM user u JOIN peyk_meta m ON m.key = 'user' AND m.value = u.id)",
            [freshID(), word()])
    }

    private mutating func replace() -> Statement {
        Statement(
            "INSERT OR REPLACE INTO contact (id, customer_id, name, phone) "
                + "SELECT c.id, c.customer_id, ?, c.phone FROM contact c WHERE c.customer_id = ? LIMIT 1",
            [word(), customer()])
    }

    private mutating func delete() -> Statement {
        switch random.draw(6) {
        case 0, 1, 2: Statement("DELETE FROM contact WHERE customer_id = ?", [customer()])
        case 3, 4: Statement("DELETE FROM opportunity WHERE id = ?", [opportunity()])
        default:
            Statement(
                "DELETE FROM customer WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM opportunity WHERE customer_id = ?1)",
                [customer()])
        }
    }
}
