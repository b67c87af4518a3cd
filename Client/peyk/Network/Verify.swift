import ArgumentParser
import PeykCRM
import PeykConsole
import PeykModel
import PeykReplica
import PeykSession
import PeykSync

struct Verify: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Prove by digests that this replica equals the server, within your scope.",
        discussion: """
            Syncs first. With --repair what differs is fetched again from the server; your unsent changes stay on top.
            Ends with 65 where something differs.

            Example:  peyk verify;  peyk verify --repair
            """)

    @Flag(help: "Fetch what differs again.") var repair = false
    @OptionGroup var home: HomeOptions

    func run() async throws {
        let place = try home.open()
        let client = try SyncClient(replica: place.replica, options: SyncWork.options(timeout: nil))
        let bar = ProgressBar(place.show.say("Comparing", "مقایسه"))
        defer { bar.finish() }
        var found = try await differences(client, place, bar)
        let first = found
        if repair, !found.records.isEmpty {
            for start in stride(from: 0, to: found.records.count, by: SessionLimits.fetchKeys) {
                let keys = found.records[start..<min(found.records.count, start + SessionLimits.fetchKeys)]
                _ = try await client.fetch(Array(keys))
            }
            found = try await differences(client, place, bar)
        }
        bar.finish()
        report(found, repaired: repair ? first.records.count : nil, place)
        guard found.isEqual else {
            throw Failure(
                .data,
                repair
                    ? place.show.say("Something still differs. Send IT “peyk doctor --bundle”.", "هنوز تفاوتی هست.")
                    : place.show.say("Repair it with “peyk verify --repair”.", "با «peyk verify --repair» اصلاح کنید."))
        }
    }

    private func differences(_ client: SyncClient, _ place: Workplace, _ bar: ProgressBar) async throws -> Verification
    {
        let whole = DigestRequest()
        var found = try place.replica.compare(try await client.digest(whole), to: whole)
        let tables = found.tables
        for (count, table) in tables.enumerated() {
            bar.update(Int64(count), of: Int64(tables.count))
            var after: RecordID?
            repeat {
                let request = DigestRequest(table: table, after: after)
                let reply = try await client.digest(request)
                found.records += try place.replica.compare(reply, to: request).records
                after = reply.hasMore ? reply.items.last?.record : nil
            } while after != nil
        }
        return found
    }

    private func report(_ found: Verification, repaired: Int?, _ place: Workplace) {
        let show = place.show
        func name(_ table: Int) -> String { place.schema.table(at: table)?.name ?? "?" }
        guard place.console.format == .table else {
            return place.console.printJSON([
                "equal": .bool(found.isEqual), "position": .integer(found.position),
                "tables": .array(found.tables.map { .string(name($0)) }),
                "records": .array(found.records.map { .string("\(name($0.table))/\($0.record)") }),
                "repaired": repaired.map { .integer(Int64($0)) } ?? .null,
            ])
        }
        if let repaired, repaired > 0 {
            place.console.say(
                show.count(Int64(repaired), "record", "رکورد") + show.say(" fetched again.", " دوباره دریافت شد."))
        }
        if found.isEqual {
            return place.console.say(
                place.console.good(
                    show.say("Equal to the server at position ", "برابر با سرور در جایگاه ")
                        + show.number(found.position)))
        }
        place.console.say(
            show.say("Differs at position ", "تفاوت در جایگاه ") + show.number(found.position) + ": "
                + found.tables.map(name).joined(separator: ", "))
        let names = place.names()
        for key in found.records.prefix(50) {
            guard let table = place.schema.table(at: key.table) else { continue }
            place.console.say("  \(table.name)/\(key.record)  \(names.name(of: key.record.description, in: table))")
        }
        if found.records.count > 50 { place.console.say("  … \(found.records.count)") }
    }
}
