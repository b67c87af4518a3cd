import PeykModel

/// An answer that its author has not confirmed, kept outside the log (rule A2).
struct AnswerDocument: Document {
    static let collection = "answer"
    var key: String { Self.key(site, position) }

    var site: SiteID
    var commit: CommitID
    var seq: Sequence64
    var position: Position
    var answer: Answer

    static func prefix(_ site: SiteID) -> String { "\(site)/" }
    static func key(_ site: SiteID, _ position: Position) -> String { "\(site)/\(position.sortable)" }

    init(site: SiteID, commit: CommitID, seq: Sequence64, position: Position, answer: Answer) {
        self.site = site
        self.commit = commit
        self.seq = seq
        self.position = position
        self.answer = answer
    }

    var json: JSON {
        var members: [String: JSON] = [
            "site": .string(site.description), "commit": .string(commit.description), "seq": .integer(seq),
            "position": .integer(position), "verdict": .integer(Int64(answer.verdict.rawValue)),
            "notices": .array(
                answer.notices.map { notice in
                    [
                        "change": .integer(Int64(notice.change)), "cell": .integer(Int64(notice.cell)),
                        "code": .string(notice.code.rawValue), "detail": .string(notice.detail),
                    ]
                }),
        ]
        members["restamped"] = answer.restamped.map { .integer(Int64(bitPattern: $0.rawValue)) }
        return .object(members)
    }

    init?(json: JSON) {
        guard let site = json["site"]?.stringValue.flatMap({ SiteID($0) }),
            let commit = json["commit"]?.stringValue.flatMap({ CommitID($0) }), let seq = json["seq"]?.integerValue,
            let position = json["position"]?.integerValue,
            let verdict = json["verdict"]?.integerValue.flatMap({ UInt8(exactly: $0) })
                .flatMap({ Answer.Verdict(rawValue: $0) })
        else { return nil }
        let notices = (json["notices"]?.arrayValue ?? []).compactMap { item -> Answer.Notice? in
            guard let change = item["change"]?.integerValue, let cell = item["cell"]?.integerValue,
                let code = item["code"]?.stringValue
            else { return nil }
            return Answer.Notice(
                change: Int(change), cell: Int(cell), code: NoticeCode(rawValue: code),
                detail: item["detail"]?.stringValue ?? "")
        }
        let restamped = json["restamped"]?.integerValue.map { HLC(rawValue: UInt64(bitPattern: $0)) }
        self.init(
            site: site, commit: commit, seq: seq, position: position,
            answer: Answer(verdict: verdict, notices: notices, restamped: restamped))
    }
}

/// Where a known id was taken in under a later dot (rule I3): for the answer when the dot comes again.
struct DotDocument: Document {
    static let collection = "dot"
    var key: String { Self.key(dot) }

    var dot: Dot
    var position: Position

    static func prefix(_ site: SiteID) -> String { "\(site)/" }
    static func key(_ dot: Dot) -> String { "\(dot.site)/\(dot.seq.sortable)" }

    init(dot: Dot, position: Position) {
        self.dot = dot
        self.position = position
    }

    var json: JSON {
        [
            "site": .string(dot.site.description), "seq": .integer(dot.seq), "position": .integer(position),
        ]
    }

    init?(json: JSON) {
        guard let site = json["site"]?.stringValue.flatMap({ SiteID($0) }), let seq = json["seq"]?.integerValue,
            let position = json["position"]?.integerValue
        else { return nil }
        self.init(dot: Dot(site: site, seq: seq), position: position)
    }
}
