import Logging
import NIOCore
import PeykModel
import PeykServer
import PeykSession
import PeykTransport

// How a session begins; on the loop.
extension ServerConnection {
    func enrol(_ enrol: Enrol) {
        guard let challenge else { return }
        let fingerprint = server.fingerprint.bytes
        greet {
            try $0.enrol(enrol, challenge: challenge, fingerprint: fingerprint)
        } then: { connection, enrolled in
            connection.logger.info("enrolled", metadata: ["site": "\(enrolled.site.short)"])
            connection.restartTimer()
            return connection.session.enrolled(enrolled)
        }
    }

    func admit(_ hello: Hello) {
        guard let challenge else { return }
        greeted = hello.site
        if let refusal = server.refusalForWantOfRoom(hello, connection.peer) { return end(refusal) }
        let fingerprint = server.fingerprint.bytes
        greet {
            try $0.admit(hello, challenge: challenge, fingerprint: fingerprint)
        } then: { connection, admission in
            connection.context = admission.context
            connection.since = admission.welcome.serverTime
            connection.connection.frameLimit = SessionLimits.frameBytes
            let head = connection.server.opened(
                connection, admission.context, isLoading: admission.backfill != nil)
            connection.logger.info("session open", metadata: ["site": "\(admission.context.site.short)"])
            let directives = connection.session.admitted(
                admission.welcome, cursor: admission.cursor, backfill: admission.backfill, credit: admission.credit)
            connection.restartTimer()
            return directives + connection.session.headMoved(to: head)
        }
    }

    func greet<Answer: Sendable>(
        _ body: @escaping @Sendable (Workspace) throws -> Answer,
        then: @escaping @Sendable (ServerConnection, Answer) -> [ServerSession.Directive]
    ) {
        isGreeting = true
        server.committer.perform { workspace in
            let result = Result { try body(workspace) }
            self.connection.eventLoop.execute {
                self.isGreeting = false
                guard !self.isEnded else { return }
                switch result {
                case .success(let answer): self.carryOut(then(self, answer))
                case .failure(let error): self.refuseGreeting(self.refusal(error, "greeting"))
                }
            }
        }
    }

    private func refuseGreeting(_ refusal: Refusal) {
        end(refusal)
        guard session.isAuthenticated else { return }
        // It is shut out, and may hand in what it has not sent (rule S4).
        connection.frameLimit = SessionLimits.frameBytes
        server.countRefusal()
        logger.notice(
            "shut out",
            metadata: [
                "code": "\(refusal.code.rawValue)", "reason": "\(refusal.message)",
                "site": "\(greeted?.short ?? "none")",
            ])
        restartTimer()
    }

    /// Keeps what a device that is shut out hands in, for IT to decide on (rule S4).
    func quarantine(_ commits: [SealedCommit], bytes: Int64) {
        guard let site = greeted else { return }
        server.committer.perform { workspace in
            let result = Result { try workspace.quarantine(commits, of: site) }
            self.connection.eventLoop.execute {
                guard !self.isEnded else { return }
                switch result {
                case .success(let seq):
                    self.logger.notice(
                        "quarantined", metadata: ["site": "\(site.short)", "commits": "\(commits.count)"])
                    self.carryOut(self.session.quarantined(upTo: seq, credit: bytes))
                case .failure(let error): self.end(self.refusal(error, "quarantine"))
                }
            }
        }
    }
}

// Deadlines; on the loop.
extension ServerConnection {
    /// A greeting has one deadline for all of it, TLS included; an open session one after each frame.
    func restartTimer() {
        timer?.cancel()
        guard !isEnded else { return }
        lastProgress = connection.arrivals
        let configuration = server.configuration
        let seconds = session.isAuthenticated ? configuration.idleSeconds : configuration.greetingSeconds
        timer = connection.schedule(seconds: seconds) { self.deadlinePassed() }
    }

    private func deadlinePassed() {
        guard !isEnded else { return }
        // A slow line still moves; a greeting has to be whole in time, though.
        let isMoving = session.isAuthenticated && connection.arrivals != lastProgress
        if !isGreeting, !isMoving { carryOut(session.timedOut()) }
        restartTimer()
    }

    /// A peer that does not read what it asked for is cut when too little of it moves (P28).
    func watchStall() {
        guard !isEnded, !connection.isWritable else {
            stall?.timer.cancel()
            stall = nil
            return
        }
        guard stall == nil else { return }
        look()
    }

    private func look() {
        let timer = connection.schedule(seconds: server.configuration.stallSeconds) { self.stallPassed() }
        stall = (connection.unsentBytes, connection.counts.sent, timer)
    }

    private func stallPassed() {
        guard !isEnded, let before = stall else { return }
        let queued = connection.counts.sent - before.sent
        let drained = Int64(before.unsent) + queued - Int64(connection.unsentBytes)
        guard drained < server.configuration.stallBytes else { return look() }
        logger.notice("too slow a reader", metadata: ["site": "\(context?.site.short ?? "none")"])
        server.countRefusal()
        connection.abort()
    }
}
