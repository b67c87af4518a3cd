import PeykCRM
import PeykConsole
import PeykModel
import PeykReplica
import PeykSession

extension Workplace {
    /// The other devices that the server told of at the last sync (rule T4).
    func devices() throws -> [ReportDevice] {
        let own = try replica.status().site
        return try replica.deviceFacts().filter { $0.site != own }.map { fact in
            ReportDevice(
                user: fact.userName, device: fact.deviceName,
                lastContact: fact.lastContact > 0 ? fact.lastContact : nil, pending: fact.pending)
        }
    }

    /// The scope in words: names of territories and users instead of ids.
    func words(for scope: HeldScope) -> String {
        let names = names()
        let parts = scope.buckets.compactMap { bucket -> String? in
            let text = bucket.text
            func name(_ table: String) -> String? {
                schema.table(named: table).map { names.name(of: String(text.dropFirst(2)), in: $0) }
            }
            switch text.prefix(2) {
            case "t:": return name("territory")
            case "u:": return name("user").map { show.say("\($0)’s own", "از آنِ \($0)") }
            case "@": return show.say("everything", "همه")
            case "?": return show.say("what is in no territory", "بی‌منطقه‌ها")
            default: return nil
            }
        }
        return parts.joined(separator: show.say(", ", "، "))
    }
}
