import PeykModel
import PeykReplica
import PeykServer

/// Every short story of one record: three replicas and a server, one row, two fields, up to three operations, and
/// between them every order in which up to two replicas sync. Each story runs the real code to its end, with a record
/// of its own. Stories whose replicas sync at the same moments are told side by side in one world, so that they share
/// its sessions; where one of them fails, each is told again alone.
public struct SmallWorld {
    /// What happens in a story. The third replica is a rep's of the first territory; the others are managers'.
    public enum Event: Hashable, Sendable, CustomStringConvertible {
        /// Also of a record that this replica knows and that is deleted: a re-insert.
        case insert(Int)
        case setA(Int)
        case setB(Int)
        case delete(Int)
        /// IT moves the record to where the third replica does not see it, or back.
        case scopeOut
        case scopeIn
        case sync(Int)

        public var description: String {
            switch self {
            case .insert(let replica): "insert@\(replica)"
            case .setA(let replica): "a@\(replica)"
            case .setB(let replica): "b@\(replica)"
            case .delete(let replica): "delete@\(replica)"
            case .scopeOut: "out"
            case .scopeIn: "in"
            case .sync(let replica): "sync \(replica)"
            }
        }
    }

    /// One story: each operation is followed by its pause.
    struct Story: Hashable, Sendable, CustomStringConvertible {
        var beginning: Beginning
        var pauses: [[Event]]
        var operations: [Event]

        var events: [Event] { zip(operations, pauses).flatMap { [$0] + $1 } }
        var description: String {
            "\(beginning): " + events.map(\.description).joined(separator: ", ")
        }
    }

    public struct Failure: Sendable, CustomStringConvertible {
        var story: Story
        public var finding: Finding
        /// Stories that were told beside it; 0 where it fails alone.
        public var company: Int

        public var description: String {
            "\(story)\(company > 0 ? " (only in company of \(company) others)" : "") breaks \(finding)"
        }
    }

    public struct Report: Sendable {
        public var stories = 0
        public var syncs = 0
        public var failures: [Failure] = []
    }

    static let replicas = 3

    /// The syncs between two operations: none, one, or two different replicas in either order.
    static let pauses: [[Event]] = {
        var pauses: [[Event]] = [[]]
        for first in 0..<replicas {
            pauses.append([.sync(first)])
            for second in 0..<replicas where second != first { pauses.append([.sync(first), .sync(second)]) }
        }
        return pauses
    }()

    static let operations: [Event] = {
        var operations: [Event] = [.scopeOut, .scopeIn]
        for replica in 0..<replicas {
            operations += [.insert(replica), .setA(replica), .setB(replica), .delete(replica)]
        }
        return operations
    }()

    /// All stories of up to three operations that follow a first insert at the first replica or IT's own, which is
    /// known to all, or to nobody else yet. Numbered, so that a part of them can be told; those that sync at the same
    /// moments are neighbours.
    ///
    /// The two managers are alike, so that the second writes only where the first has written before.
    public static var count: Int { (1...3).reduce(0) { $0 + plans(ofLength: $1) * tuples(ofLength: $1) } }

    private static func plans(ofLength length: Int) -> Int {
        (0..<length).reduce(beginnings.count) { product, _ in product * pauses.count }
    }

    private static func tuples(ofLength length: Int) -> Int {
        (0..<length).reduce(1) { product, _ in product * operations.count }
    }

    /// How the record came to be: not at all; by IT, and all have it; at the first replica, unsent.
    enum Beginning: Int, CaseIterable { case nothing, shared, unsent }
    static let beginnings = Beginning.allCases

    /// The story of a number below ``count``.
    static func story(_ number: Int) -> Story {
        var rest = number
        var length = 1
        while length < 3, rest >= plans(ofLength: length) * tuples(ofLength: length) {
            rest -= plans(ofLength: length) * tuples(ofLength: length)
            length += 1
        }
        var tuple = rest % tuples(ofLength: length)
        var plan = rest / tuples(ofLength: length)
        var story = Story(beginning: beginnings[plan % beginnings.count], pauses: [], operations: [])
        plan /= beginnings.count
        for _ in 0..<length {
            story.pauses.append(pauses[plan % pauses.count])
            plan /= pauses.count
            story.operations.append(operations[tuple % operations.count])
            tuple /= operations.count
        }
        return story
    }

    /// Whether the story says something that a smaller number does not: operations must be possible, and the second
    /// manager acts only in stories in which the first does.
    static func isTold(_ story: Story) -> Bool {
        let beginning = story.beginning
        var hasFirstActed = beginning == .unsent
        var known = [Bool](repeating: beginning == .shared, count: replicas)
        if beginning == .unsent { known[0] = true }
        var isOnServer = beginning == .shared
        var isOut = false
        var isOpen = beginning == .unsent
        for event in story.events {
            switch event {
            case .insert(let replica), .setA(let replica), .setB(let replica), .delete(let replica):
                if replica == 1, !hasFirstActed { return false }
                if replica == 0 { hasFirstActed = true }
                if case .insert = event { known[replica] = true } else if !known[replica] { return false }
                isOpen = true
            case .scopeOut:
                if isOut || !isOnServer { return false }
                isOut = true
            case .scopeIn:
                if !isOut { return false }
                isOut = false
            case .sync(let replica):
                if known[replica] { isOnServer = isOnServer || isOpen }
                if isOnServer { known[replica] = true }
            }
        }
        return true
    }

    /// So many stories are told side by side at most.
    static let companyMax = 100

    /// Tells the stories from `first` on, each `stride`-th, until `limit` were told.
    ///
    /// - Parameter stopAfter: so many failures end the run.
    public static func run(first: Int, stride: Int, limit: Int, stopAfter: Int = 5) throws -> Report {
        var report = Report()
        var number = first
        var company: [Story] = []
        var teller: StoryTeller?
        defer { teller?.shutDown() }
        func tellAll() throws {
            defer { company = [] }
            if let old = teller, old.told > StoryTeller.storiesMax {
                old.shutDown()
                teller = nil
            }
            let present = try teller ?? StoryTeller()
            teller = present
            do {
                report.syncs += try present.tell(company)
            } catch let finding as Finding {
                present.shutDown()
                teller = nil
                report.failures += try failures(of: company, finding)
            }
            report.stories += company.count
        }
        while number < count, report.stories + company.count < limit, report.failures.count < stopAfter {
            let next = story(number)
            number += stride
            guard isTold(next) else { continue }
            if let last = company.last,
                last.beginning != next.beginning || last.pauses != next.pauses || company.count == companyMax
            {
                try tellAll()
            }
            company.append(next)
        }
        if !company.isEmpty, report.failures.count < stopAfter { try tellAll() }
        return report
    }

    /// Which of the stories fail alone; where none does, what was found in company.
    private static func failures(of company: [Story], _ finding: Finding) throws -> [Failure] {
        var failures: [Failure] = []
        for story in company {
            let teller = try StoryTeller()
            defer { teller.shutDown() }
            do {
                _ = try teller.tell([story])
            } catch let finding as Finding {
                failures.append(Failure(story: story, finding: finding, company: 0))
            }
        }
        guard failures.isEmpty, let first = company.first else { return failures }
        return [Failure(story: first, finding: finding, company: company.count - 1)]
    }
}
