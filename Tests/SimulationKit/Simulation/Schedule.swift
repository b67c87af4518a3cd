public import PeykModel
import SeededRandom

/// What a simulated world does, one step after another. Each step draws its particulars from a number of its own,
/// so that steps can be left out while the others stay as they are: that is how a failing schedule shrinks.
public struct Schedule: Hashable, Sendable {
    public enum Kind: String, Hashable, Sendable, CaseIterable {
        /// A transaction by a program that uses the library, or by any other program.
        case edit
        /// Connects or goes on with a session, for some messages or to its end.
        case sync
        /// Several sessions at once; the server commits their pushes in groups.
        case storm
        /// Frames of an abandoned connection reach the server after all.
        case late
        /// A minute passes: deadlines, pings, half-open connections.
        case deadline
        /// A replica's process or machine stops, perhaps in the middle of a transaction.
        case stopClient
        case stopServer
        /// The n-th operation on a disk fails, on either side.
        case faultClient
        case faultServer
        /// A device's clock is set, drifts or stands still.
        case clock
        /// Up to 90 days pass.
        case pause
        /// IT gives a user other territories or another role.
        case grant
        /// A record changes its territory or owner, by a manager or by IT.
        case move
        /// A second process opens a replica, and both write.
        case second
        /// Both sides compare digests.
        case verify
        /// The server serves for some minutes, leases run out, and what all live devices have passed is collected.
        case collect
        /// A user gets one more device, which loads everything.
        case enrol
        /// A device is revoked; its user enrols again.
        case revoke
        /// A valid device sends what is not allowed.
        case hostile
        /// Somebody takes back what they wrote.
        case undo
        /// Somebody settles a conflict, or brings a loser back.
        case conflict
        /// Somebody tries again what was refused, changes it, or gives it up.
        case issue
        /// A replica's files are copied to another machine, and both go on.
        case clone
        /// An image of a replica's disk is taken.
        case image
        /// A replica's disk goes back to its image.
        case rewind
        /// IT takes a backup of the server while it serves.
        case backup
        /// IT restores some earlier backup of the server.
        case restore
        /// IT adds to the schema, retires or drops, or asks for what is refused.
        case schema
    }

    public struct Step: Hashable, Sendable {
        public var kind: Kind
        public var seed: UInt64
        public init(_ kind: Kind, _ seed: UInt64) {
            self.kind = kind
            self.seed = seed
        }
    }

    /// What a world is made of and which faults it may have.
    public struct Shape: Hashable, Sendable {
        public var clients = 3
        /// All users are managers, who see everything.
        public var isOpen = false
        public init(clients: Int = 3, isOpen: Bool = false) {
            self.clients = clients
            self.isOpen = isOpen
        }
    }

    public var seed: UInt64
    public var shape: Shape
    public var steps: [Step]

    public init(seed: UInt64, shape: Shape, steps: [Step]) {
        self.seed = seed
        self.shape = shape
        self.steps = steps
    }

    /// How often each kind is drawn, before the swarm leaves some out.
    static let weights: [(Kind, Int)] = [
        (.edit, 400), (.sync, 300), (.storm, 40), (.late, 30), (.deadline, 15), (.stopClient, 20), (.stopServer, 12),
        (.faultClient, 20), (.faultServer, 15), (.clock, 15), (.pause, 4), (.grant, 15), (.move, 30), (.second, 15),
        (.verify, 8), (.collect, 15), (.enrol, 3), (.revoke, 2), (.hostile, 8), (.undo, 20), (.conflict, 15),
        (.issue, 12), (.clone, 3), (.image, 5), (.rewind, 4),
        (.backup, 12), (.restore, 8),
    ]

    /// - Parameter without: kinds that are left out in any case.
    public init(seed: UInt64, count: Int, without: Set<Kind> = []) {
        var random = SplitMix64(seed: seed)
        // Mostly few replicas, where conflicts are dense; sometimes many.
        let clients = [2, 2, 3, 3, 3, 4, 4, 5, 6, 8, 10, 12][random.draw(12)]
        let shape = Shape(clients: clients, isOpen: random.chance(25))
        // Swarm: each run goes without some kinds of fault, so that rare ones are not drowned by frequent ones.
        var weights: [(Kind, Int)] = []
        for (kind, weight) in Self.weights where !without.contains(kind) {
            switch kind {
            case .edit: weights.append((kind, weight))
            // Some go home every day, some once a month.
            case .sync: weights.append((kind, weight >> random.draw(3)))
            default: if random.chance(60) { weights.append((kind, weight)) }
            }
        }
        let total = weights.reduce(0) { $0 + $1.1 }
        var steps: [Step] = []
        steps.reserveCapacity(count)
        for _ in 0..<count {
            var drawn = random.draw(total)
            let kind = weights.first { weight in
                drawn -= weight.1
                return drawn < 0
            }?.0
            steps.append(Step(kind ?? .edit, random.next() >> 16))
        }
        if !without.contains(.schema) { Self.changeSchemas(&steps, seed: seed) }
        self.init(seed: seed, shape: shape, steps: steps)
    }

    /// In a third of the schedules, some steps are changes of the schema. They are drawn apart, so that all other
    /// schedules are what they were before there were any.
    private static func changeSchemas(_ steps: inout [Step], seed: UInt64) {
        var random = SplitMix64(seed: seed &+ 55)
        guard !steps.isEmpty, random.chance(33) else { return }
        for _ in 0..<(1 + random.draw(10)) { steps[random.draw(steps.count)] = Step(.schema, random.next() >> 16) }
    }

    // MARK: Kept seeds

    public var json: JSON {
        [
            "seed": .string(String(seed)), "clients": .integer(Int64(shape.clients)), "open": .bool(shape.isOpen),
            "steps": .array(steps.map { .string("\($0.kind.rawValue) \($0.seed)") }),
        ]
    }

    public init?(json: JSON) {
        guard let seed = json["seed"]?.stringValue.flatMap({ UInt64($0) }),
            let clients = json["clients"]?.integerValue, (1...12).contains(clients),
            let items = json["steps"]?.arrayValue
        else { return nil }
        var steps: [Step] = []
        for item in items {
            guard let words = item.stringValue?.split(separator: " "), words.count == 2,
                let kind = Kind(rawValue: String(words[0])), let number = UInt64(words[1])
            else { return nil }
            steps.append(Step(kind, number))
        }
        self.init(
            seed: seed, shape: Shape(clients: Int(clients), isOpen: json["open"]?.boolValue ?? false), steps: steps)
    }
}

/// What a run found to be broken.
public struct Finding: Error, Hashable, Sendable, CustomStringConvertible {
    /// `P1` … `P30`, or a rule.
    public var property: String
    public var what: String

    public init(_ property: String, _ what: String) {
        self.property = property
        self.what = what
    }

    public var description: String { "\(property): \(what)" }
}

/// A running hash of everything that a run did: equal runs have equal traces.
struct Trace {
    private(set) var hash: UInt64 = 0xCBF2_9CE4_8422_2325

    mutating func add(_ number: UInt64) {
        hash = (hash ^ number) &* 0x0000_0100_0000_01B3
        hash ^= hash >> 29
    }

    mutating func add(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { bytes in
            var word: UInt64 = UInt64(bytes.count)
            for index in 0..<bytes.count {
                word = word << 8 | UInt64(bytes[index])
                if index & 7 == 7 { add(word) }
            }
            add(word)
        }
    }
}
