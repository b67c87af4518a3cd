import PeykModel
import PeykReplica

/// What is left once everything has come to rest (P28).
extension SimulatedWorld {
    /// A replica keeps nothing of what was under way.
    func checkBounds(_ client: SimulatedClient) throws {
        guard let replica = client.replica else { return }
        let tables = replica.schema.tables.map(\.name)
        var passing = ["peyk_page", "peyk_mute", "peyk_operation"]
        passing += tables.map { "peyk_stage_\($0)" } + tables.dropFirst().map { "peyk_capture_\($0)" }
        let unmerged = try replica.read { try $0.value("SELECT 1 FROM peyk_commit WHERE state <> 2 LIMIT 1") }
        if unmerged == nil { passing.append("peyk_base") }
        let counts = passing.map { "SELECT '\($0)' FROM \($0)" }.joined(separator: " UNION ")
        let left = try replica.read { try $0.rows(counts) }
        guard left.isEmpty else {
            throw Finding("P28", "device \(client.number) keeps \(left.map { $0[0] }) at rest")
        }
    }
}
