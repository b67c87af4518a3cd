import PeykCRM
import PeykConsole
import PeykModel

/// What a new record gets by itself: who made it and when, whose it is, where it belongs.
struct RecordDefaults {
    let schema: Schema
    let source: any ReportSource

    func complete(_ given: [String: Value], for table: Table) throws -> [String: Value] {
        var values = given
        let me = try source.rows("SELECT value FROM peyk_meta WHERE key = 'user'", []).first?.first ?? .null
        let now = Value.integer(LocalTime.now())
        func fill(_ field: String, _ value: @autoclosure () throws -> Value) rethrows {
            guard values[field] == nil, let index = table.fieldIndex(field), !table.fields[index].isRetired else {
                return
            }
            let value = try value()
            if !value.isNull { values[field] = value }
        }
        fill("created_at", now)
        fill("created_by", me)
        switch table.name {
        case "customer", "opportunity":
            try fill("territory_id", try territory(values, me))
            fill("owner_id", me)
            if table.name == "opportunity" { try fill("stage_id", try firstStage()) }
        case "contact": fill("owner_id", me)
        case "activity":
            fill("user_id", me)
            fill("occurred_at", now)
        case "task": fill("assignee_id", me)
        default: break
        }
        return values
    }

    /// An opportunity's is its customer's; else the user's own.
    private func territory(_ values: [String: Value], _ me: Value) throws -> Value {
        if let customer = values["customer_id"], !customer.isNull {
            let found = try source.rows("SELECT territory_id FROM customer WHERE id = $1", [customer])
            if let territory = found.first?.first, !territory.isNull { return territory }
        }
        return try source.rows(#"SELECT territory_id FROM "user" WHERE id = $1"#, [me]).first?.first ?? .null
    }

    private func firstStage() throws -> Value {
        try source.rows(
            """
            SELECT s.id FROM stage s JOIN pipeline p ON p.id = s.pipeline_id
            WHERE s.kind = 'open' AND COALESCE(s.archived, 0) = 0 AND COALESCE(p.archived, 0) = 0
            ORDER BY p.position, p.id, s.position, s.id LIMIT 1
            """, []
        ).first?.first ?? .null
    }
}
