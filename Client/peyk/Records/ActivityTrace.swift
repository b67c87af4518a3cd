import PeykModel
import PeykReplica

/// An activity moves the dates and the visits of what it belongs to, in the same commit.
struct ActivityTrace {
    let schema: Schema

    func follow(_ values: [String: Value], _ write: LocalWrite) throws {
        for name in ["opportunity", "customer"] {
            guard let record = values[name + "_id"]?.recordID, let table = schema.table(named: name),
                let row = try write.row(name, record), case .integer(let at)? = values["occurred_at"]
            else { continue }
            var changes: [String: Value] = [:]
            if let index = table.fieldIndex("last_activity_at"), row[index].integerValue ?? .min < at {
                changes["last_activity_at"] = .integer(at)
            }
            if let index = table.fieldIndex("first_contact_at"), row[index].integerValue ?? .max > at {
                changes["first_contact_at"] = .integer(at)
            }
            if values["kind"] == .text("visit"), let index = table.fieldIndex("visits") {
                changes["visits"] = .integer((row[index].integerValue ?? 0) &+ 1)
            }
            if !changes.isEmpty { try write.update(name, record, changes) }
        }
    }
}
