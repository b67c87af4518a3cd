import ArgumentParser
import Foundation
public import PeykCRM
import PeykConsole
import PeykModel
public import PeykReplica

/// The options of every command: where the replica is, and how results are printed.
struct HomeOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The replica's folder (else PEYK_HOME, else ~/.peyk).", valueName: "dir"))
    var home: String?

    @OptionGroup var output: OutputOptions

    var path: String {
        let environment = ProcessInfo.processInfo.environment["PEYK_HOME"]
        let chosen = home ?? environment.flatMap { $0.isEmpty ? nil : $0 } ?? "~/.peyk"
        return (chosen as NSString).expandingTildeInPath
    }

    var console: Console { output.console }

    func open(readOnly: Bool = false) throws -> Workplace {
        do {
            return Workplace(replica: try Replica.open(path, readOnly: readOnly), console: console)
        } catch let error as ReplicaError where error.isDiskFull {
            let replica = try Replica.open(path, isDiskFull: true)
            Terminal.message("The disk is full: your data can be read, and is safe; nothing can be written.")
            return Workplace(replica: replica, console: console)
        }
    }
}

extension LocalRead: ReportSource {}
extension LocalWrite: ReportSource {}

/// An open replica and the way results are shown.
struct Workplace: ReportSource {
    let replica: Replica
    let console: Console

    var show: Presentation { console.show }
    var schema: Schema { replica.schema }

    func rows(_ sql: String, _ values: [Value]) throws -> [[Value]] {
        try replica.read { try $0.rows(sql, values) }
    }

    /// Names of records, each looked up in a transaction of its own.
    func names() -> RecordNames { RecordNames(schema: schema, source: self, language: show.language) }

    func names(in source: any ReportSource) -> RecordNames {
        RecordNames(schema: schema, source: source, language: show.language)
    }

    func table(_ name: String) throws -> Table {
        if let table = schema.table(named: name) { return table }
        let own = schema.ownTables.map(\.name).joined(separator: ", ")
        throw Failure(
            .usage, "There is no table “\(name)”. The tables are \(own).",
            "جدولی به نام «\(name)» نیست. جدول‌ها این‌ها هستند: \(own).")
    }

    /// `table/id`, the id shortened or a name.
    func record(_ text: String) throws -> (table: Table, record: RecordID) {
        let parts = text.split(separator: "/", maxSplits: 1).map(String.init)
        guard parts.count == 2 else {
            throw Failure(
                .usage, "Say it as TABLE/ID, for example opportunity/0198c2f1.",
                "به شکل TABLE/ID بنویسید، برای نمونه opportunity/0198c2f1.")
        }
        let alias = ["opp": "opportunity", "ledger": "peyk_ledger"][parts[0]] ?? parts[0]
        let table = try table(alias)
        return (table, try names().find(parts[1], in: table))
    }

    func view(_ table: Table, _ names: RecordNames) -> RecordView { RecordView(table: table, names: names, show: show) }

    /// Tells on standard error that a commit waits for a person's word (rule D7).
    func tell(_ result: WriteResult) {
        if result.isHeld {
            Terminal.message(
                "This deletes a lot, so it waits here. Look with “peyk pending”, release it with “peyk pending confirm”."
            )
        }
    }
}
