import ArgumentParser
import PeykCRM
import PeykConsole
import PeykModel
import PeykReplica
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
        bar.update(0, of: nil)
        let found = try await client.verify(repairs: repair)
        bar.finish()
        report(found, place)
        guard found.isEqual else {
            throw Failure(
                .data,
                repair
                    ? place.show.say("Something still differs. Send IT “peyk doctor --bundle”.", "هنوز تفاوتی هست.")
                    : place.show.say("Repair it with “peyk verify --repair”.", "با «peyk verify --repair» اصلاح کنید."))
        }
    }

    private func report(_ found: Verification, _ place: Workplace) {
        let show = place.show
        func name(_ key: RecordKey) -> String { "\(place.schema.table(at: key.table)?.name ?? "?")/\(key.record)" }
        guard place.console.format == .table else {
            return place.console.printJSON([
                "equal": .bool(found.isEqual), "position": .integer(found.position),
                "tables": .array(
                    Set(found.records.map(\.table)).sorted().compactMap { place.schema.table(at: $0) }
                        .map { .string($0.name) }),
                "records": .array(found.records.map { .string(name($0)) }),
                "left": .array(found.left.map { .string(name($0)) }), "partial": .bool(found.isPartial),
                "repaired": repair ? .integer(Int64(found.records.count - found.left.count)) : .null,
                "questions": .integer(Int64(found.questions)), "bytes_in": .integer(found.bytesIn),
                "bytes_out": .integer(found.bytesOut),
            ])
        }
        if !found.records.isEmpty {
            let words =
                repair
                ? show.say(" differed and fetched again:", " متفاوت بود و دوباره دریافت شد:")
                : show.say(" differ from the server:", " با سرور تفاوت دارد:")
            place.console.say(show.count(Int64(found.records.count), "record", "رکورد") + words)
            let names = place.names()
            for key in found.records.prefix(50) {
                guard let table = place.schema.table(at: key.table) else { continue }
                place.console.say("  \(name(key))  \(names.name(of: key.record.description, in: table))")
            }
            if found.records.count > 50 { place.console.say("  … \(found.records.count)") }
        }
        guard found.isEqual else { return }
        place.console.say(
            place.console.good(
                show.say("Equal to the server at position ", "برابر با سرور در جایگاه ")
                    + show.number(found.position)))
    }
}
