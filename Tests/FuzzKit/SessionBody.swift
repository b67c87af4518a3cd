import Crypto
import PeykModel
import PeykServer
import PeykSession
import PeykTransport
import PeykWire

/// A connection to a small workspace, from its first byte.
///
/// The input is a list of pieces, each with a byte before it that says what it is: a frame's body as it came, one whose
/// hello, enrolment or push is made genuine first (signed, with its own site and dots), or sealed bytes to be pushed.
/// So the fuzzer gets past the signatures, and everything that a stolen device could send is reached.
struct SessionBody {
    private struct Choice: OptionSet {
        var rawValue: UInt8
        static let genuine = Choice(rawValue: 1)
        static let keepsPlace = Choice(rawValue: 2)
        static let isSealed = Choice(rawValue: 4)
        static let timesOut = Choice(rawValue: 8)
    }

    private let office: SmallOffice
    private let workspace: Workspace
    private let challenge: Challenge
    private var session = ServerSession()
    private var context: SessionContext?
    private var seq: Sequence64 = 0
    private var steps = 0

    static func run(_ bytes: [UInt8]) {
        do {
            var body = try SessionBody()
            var reader = InputReader(bytes)
            while !reader.isAtEnd, !body.session.isClosed {
                let choice = Choice(rawValue: reader.byte())
                body.take(reader.piece(), choice)
            }
            body.carryOut(body.session.disconnected())
            must(body.session.isClosed, "a connection that is gone is closed")
        } catch {
            must(false, "the small workspace can be copied: \(error)")
        }
    }

    private init() throws {
        office = try SmallOffice.shared.get()
        workspace = try office.copy()
        challenge = workspace.challenge()
    }

    private mutating func take(_ piece: [UInt8], _ choice: Choice) {
        if choice.contains(.timesOut) { carryOut(session.timedOut()) }
        if choice.contains(.isSealed) {
            carryOut(session.received(.push(Push(commits: [sealed(piece)])), bytes: piece.count))
            return
        }
        guard var message = try? WireCodec.decodeClient(piece) else { return }
        if choice.contains(.genuine) { message = genuine(message, choice) }
        carryOut(session.received(message, bytes: piece.count))
        if let head = try? workspace.head() { carryOut(session.headMoved(to: head)) }
    }

    private mutating func sealed(_ bytes: [UInt8]) -> SealedCommit {
        seq += 1
        let id = (try? CommitBody(decoding: bytes))?.id ?? CommitID(bits: UUIDBits(high: 1, low: UInt64(seq)))
        let site = context?.site ?? office.enrolled.site
        return SealedCommit(
            id: id,
            envelope: Envelope(
                dot: Dot(site: site, seq: seq), stamp: HLC(milliseconds: SmallOffice.now),
                clock: VectorClock(lineage: lineage, anchor: context?.sent ?? 0)),
            sealed: bytes)
    }

    private var lineage: Lineage { (try? workspace.store.read { try $0.workspaceDocument().lineage }) ?? Lineage([]) }

    private mutating func genuine(_ message: ClientMessage, _ choice: Choice) -> ClientMessage {
        switch message {
        case .enrol(var enrol):
            enrol.code = office.code
            enrol.deviceKey = Array(office.deviceKey.publicKey.rawRepresentation)
            enrol.signature = signed(
                Enrol.signedBytes(
                    challenge: challenge.nonce, fingerprint: SmallOffice.fingerprint, code: enrol.code))
            return .enrol(enrol)
        case .hello(var hello):
            hello.certificate = office.enrolled.certificate
            if !choice.contains(.keepsPlace) {
                hello.site = office.enrolled.site
                hello.nonce = office.enrolled.nonce
                hello.lineage = lineage
                hello.anchorToken = []
                hello.cursor = min(hello.cursor, 5)
            }
            hello.signature = signed(
                hello.signedBytes(challenge: challenge.nonce, fingerprint: SmallOffice.fingerprint))
            return .hello(hello)
        case .push(var push):
            for index in push.commits.indices {
                seq += 1
                push.commits[index].envelope.dot = Dot(site: context?.site ?? office.enrolled.site, seq: seq)
            }
            return .push(push)
        default: return message
        }
    }

    private func signed(_ bytes: [UInt8]) -> [UInt8] {
        (try? office.deviceKey.signature(for: bytes)).map(Array.init) ?? []
    }

    // MARK: - What a shell does

    private mutating func carryOut(_ directives: [ServerSession.Directive]) {
        var open = directives[...]
        while let directive = open.popFirst() {
            steps += 1
            must(steps < 20_000, "a session comes to rest (P26)")
            if steps > 2_000 { return }
            open.append(contentsOf: answer(directive))
        }
    }

    private mutating func answer(_ directive: ServerSession.Directive) -> [ServerSession.Directive] {
        do {
            return try act(on: directive)
        } catch let refusal as Refusal {
            return session.refused(refusal)
        } catch {
            must(false, "what a peer sends is refused by a refusal, not by \(error) (P29)")
            return []
        }
    }

    private mutating func act(on directive: ServerSession.Directive) throws -> [ServerSession.Directive] {
        switch directive {
        case .send(let message):
            must(!WireCodec.encode(message).isEmpty || message == .pong(0), "what the server says can be written")
            return []
        case .enrol(let enrol):
            return session.enrolled(
                try workspace.enrol(enrol, challenge: challenge, fingerprint: SmallOffice.fingerprint))
        case .admit(let hello):
            let admission = try workspace.admit(
                hello, challenge: challenge, fingerprint: SmallOffice.fingerprint)
            context = admission.context
            seq = admission.welcome.lastMerged
            return session.admitted(
                admission.welcome, cursor: admission.cursor, backfill: admission.backfill, credit: admission.credit)
        default: break
        }
        guard let context else {
            if case .close = directive { return [] }
            must(false, "nothing is read or written before a hello is taken (P30)")
            return []
        }
        return try act(on: directive, context)
    }

    private mutating func act(
        on directive: ServerSession.Directive, _ context: SessionContext
    ) throws -> [ServerSession.Directive] {
        switch directive {
        case .commit(let commits, _):
            switch try workspace.commit([PushRequest(context: context, commits: commits)]).first {
            case .acknowledge(let acknowledge)?: return session.committed(acknowledge)
            case .refuse(let refusal)?: return session.ended(refusal)
            default: return []
            }
        case .readBatch(let from, let upTo, let bytes, let scope, let isWhole):
            let batch = try workspace.batch(
                for: context, from: from, upTo: upTo, bytesMax: bytes, scope: scope, whole: isWhole)
            return session.read(batch: batch, bytes: 100)
        case .readPage(let mark):
            let page = try workspace.page(for: context, after: mark)
            return session.read(page: PageCompression.compress(page), bytes: page.payload.count)
        case .answer(let question):
            return session.answered(try workspace.answer(question, for: context), bytes: 100)
        case .recordApplied(let position): try workspace.applied(position, by: context)
        case .confirmNonce: try workspace.confirmNonce(of: context)
        default: break
        }
        return []
    }
}
