import PeykModel
import PeykSession

/// What a replica proves to have been sent, and what that says about our own log (rules C6, I5).
extension Greeting {
    /// The tokens of hello that are ours.
    ///
    /// - Throws: ``RolledBack`` where one of the present epoch is beyond our log or unlike it.
    func provenTokens() throws -> [AnchorToken] {
        let tokens = try signedTokens()
        if let proof = try rollback(tokens) { throw RolledBack(proof: proof) }
        return tokens
    }

    /// A rollback is known: what this replica's tokens add to it, as an error to throw.
    func tellMore() throws -> any Error {
        try rollback(try signedTokens()).map { RolledBack(proof: $0) } ?? Refusal.rolledBack
    }

    private func signedTokens() throws -> [AnchorToken] {
        var tokens: [AnchorToken] = []
        if !hello.anchorToken.isEmpty {
            guard let token = workspace.keys.anchorToken(hello.anchorToken) else {
                throw Refusal(.foreign, "The replica's proof is not of this server. Nothing was changed.")
            }
            tokens.append(token)
        }
        return tokens + hello.formerTokens.compactMap { workspace.keys.anchorToken($0) }
    }

    /// Nil where all tokens of our own epoch fit our log.
    private func rollback(_ tokens: [AnchorToken]) throws -> RollbackDocument? {
        guard let epoch = identity.lineage.epoch else { return nil }
        var lost: Position?
        var common: Position = identity.lineage.eras.last?.after ?? 0
        let zero = UUIDBits(high: 0, low: 0)
        for token in tokens where token.epoch == epoch {
            var fits = token.position <= head
            if fits, let chain = try transaction.chain(at: token.position), chain != zero {
                fits = chain == token.chain
            }
            if fits {
                common = max(common, token.position)
            } else {
                lost = min(lost ?? token.position, token.position)
            }
        }
        guard let lost else { return nil }
        return RollbackDocument(
            detectedAt: now, site: hello.site, epoch: epoch, lost: lost, common: min(common, lost - 1))
    }
}
