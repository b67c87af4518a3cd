import ArgumentParser
import PeykCRM
import PeykConsole
import PeykModel
import PeykReplica

struct OpportunityGroup: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: OpportunityKind.command, abstract: OpportunityKind.abstract,
        subcommands: RecordCommands<OpportunityKind>.all + [Move.self, Win.self, Lose.self, Reopen.self],
        aliases: OpportunityKind.aliases)

    struct Move: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Move an opportunity to another open stage.",
            discussion: "Example:  peyk opp move 0198c2f1 Negotiation")
        @Argument(help: "Its id or name.") var id: String
        @Argument(help: "The stage's name or id.") var stage: String
        @OptionGroup var home: HomeOptions

        func run() async throws {
            try StageWork(home.open()).move(
                id,
                { stages, _ in
                    let to = try stages.find(stage)
                    guard to.kind == "open" else {
                        throw Failure(
                            .usage,
                            "\(to.name) closes the opportunity: use “peyk opp \(to.kind == "won" ? "win" : "lose")”.",
                            "«\(to.name)» فرصت را می‌بندد: «peyk opp \(to.kind == "won" ? "win" : "lose")» را به کار ببرید."
                        )
                    }
                    return (to, [])
                })
        }
    }

    struct Win: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Close an opportunity as won, today.",
            discussion: "Example:  peyk opp win 0198c2f1 --amount '118,000,000 IRR'")
        @Argument(help: "Its id or name.") var id: String
        @Option(help: "The final amount.") var amount: String?
        @Option(help: "The day that it was won.") var on: String = "today"
        @OptionGroup var home: HomeOptions

        func run() async throws {
            try StageWork(home.open()).move(id) { stages, now in
                (
                    try stages.first(of: "won", beside: now),
                    ["closed_on=\(on)"] + (amount.map { ["amount=\($0)"] } ?? [])
                )
            }
        }
    }

    struct Lose: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Close an opportunity as lost, today.",
            discussion: "Example:  peyk opp lose 0198c2f1 --reason price --note 'Two others were 10 % below'")
        @Argument(help: "Its id or name.") var id: String
        @Option(help: "Why: price, competitor, timing, no budget, no decision …") var reason: String
        @Option(help: "More about it.") var note: String?
        @Option(help: "The day that it was lost.") var on: String = "today"
        @OptionGroup var home: HomeOptions

        func run() async throws {
            try StageWork(home.open()).move(id) { stages, now in
                (
                    try stages.first(of: "lost", beside: now),
                    ["closed_on=\(on)", "loss_reason=\(reason)"] + (note.map { ["loss_note=\($0)"] } ?? [])
                )
            }
        }
    }

    struct Reopen: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Open a closed opportunity again.",
            discussion: "Example:  peyk opp reopen 0198c2f1 Negotiation")
        @Argument(help: "Its id or name.") var id: String
        @Argument(help: "The stage to go on in; else the pipeline's first.") var stage: String?
        @OptionGroup var home: HomeOptions

        func run() async throws {
            try StageWork(home.open()).move(id, isReopening: true) { stages, now in
                let to = try stage.map { try stages.find($0) } ?? stages.first(of: "open", beside: now)
                guard to.kind == "open" else {
                    throw Failure(.usage, "\(to.name) is not an open stage.", "«\(to.name)» مرحلهٔ باز نیست.")
                }
                return (to, ["closed_on=", "loss_reason=", "loss_note="])
            }
        }
    }
}

/// The stages as they are in the replica.
struct Stages {
    struct Stage {
        let id: RecordID
        let name: String
        let kind: String
        let pipeline: String
    }

    private let all: [Stage]
    private let names: RecordNames
    private let table: Table

    init(_ source: any ReportSource, _ names: RecordNames, _ table: Table) throws {
        self.names = names
        self.table = table
        all = try source.rows(
            """
            SELECT s.id, s.name, s.kind, s.pipeline_id FROM stage s JOIN pipeline p ON p.id = s.pipeline_id
            ORDER BY p.position, p.id, s.position, s.id
            """, []
        ).compactMap { row in
            guard row.count == 4, let id = row[0].recordID, let name = row[1].textValue, let kind = row[2].textValue,
                let pipeline = row[3].textValue
            else { return nil }
            return Stage(id: id, name: name, kind: kind, pipeline: pipeline)
        }
    }

    func stage(_ id: Value) -> Stage? { all.first { Value($0.id) == id } }

    func find(_ text: String) throws -> Stage {
        let id = try names.find(text, in: table)
        guard let stage = all.first(where: { $0.id == id }) else {
            throw Failure(.noInput, "There is no stage “\(text)”.", "مرحله‌ای به نام «\(text)» نیست.")
        }
        return stage
    }

    /// The first of its kind in the same pipeline.
    func first(of kind: String, beside stage: Stage?) throws -> Stage {
        let own = all.filter { $0.kind == kind && (stage == nil || $0.pipeline == stage?.pipeline) }
        guard let first = own.first else {
            throw Failure(
                .configuration, "The pipeline has no stage of the kind \(kind).",
                "این کاریز مرحله‌ای از نوع \(kind) ندارد.")
        }
        return first
    }
}

/// Moves opportunities between stages.
struct StageWork {
    let place: Workplace

    init(_ place: Workplace) { self.place = place }

    func move(
        _ text: String, isReopening: Bool = false,
        _ choose: (Stages, Stages.Stage?) throws -> (to: Stages.Stage, also: [String])
    ) throws {
        let work = try RecordWork(place, "opportunity")
        let stageTable = try place.table("stage")
        guard let field = work.table.fieldIndex("stage_id") else { return }
        try work.set(text) { row, write, record in
            let stages = try Stages(write, place.names(in: write), stageTable)
            let now = stages.stage(row[field])
            let isClosed = now.map { $0.kind != "open" } ?? false
            let (to, also) = try choose(stages, now)
            guard isReopening || !isClosed || to.id == now?.id else {
                throw Failure(
                    .usage,
                    "The opportunity is closed (\(now?.name ?? "")). Nothing was changed; open it first with “peyk opp reopen”.",
                    "این فرصت بسته است (\(now?.name ?? "")). چیزی تغییر نکرد؛ نخست با «peyk opp reopen» بازش کنید."
                )
            }
            guard !isReopening || isClosed else {
                throw Failure(
                    .usage, "The opportunity is open already. Nothing was changed.",
                    "این فرصت باز است. چیزی تغییر نکرد.")
            }
            if isReopening { try write.operation(.reopen, table: "opportunity", record: record) }
            return ["stage_id=\(to.id)"] + also
        }
    }
}
