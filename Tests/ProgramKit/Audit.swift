import Foundation

extension World {
    /// What is wrong with the server's files; empty where they are whole, its log has no gap, and everything that was
    /// acknowledged to these reps is in it (P16, P17).
    package func serverFindings(_ replicas: [ReplicaProcess]) async throws -> [String] {
        // Read first: what is acknowledged later is not asked for.
        var promised: [(name: String, ids: Set<String>)] = []
        for replica in replicas {
            promised.append((replica.home.lastPathComponent, try await replica.acknowledged()))
        }
        let file = server.data.appendingPathComponent("workspace.sqlite").path
        let output = try await Program.sqlite.run(
            [file],
            input: """
                .timeout 10000
                PRAGMA integrity_check;
                SELECT 'orphan ' || "table" FROM pragma_foreign_key_check;
                SELECT 'gap' FROM (SELECT count(*) AS n, max(position) - min(position) + 1 AS m FROM peyk_log)
                WHERE n <> m;
                SELECT 'id ' || hex(commit_id) FROM peyk_log;
                """)
        guard output.status == 0, output.lines.first == "ok" else {
            return ["server: integrity_check: \(output.lines.prefix(3)) \(output.err)"]
        }
        let lines = output.lines.dropFirst()
        var found = lines.filter { !$0.hasPrefix("id ") }.map { "server: \($0)" }
        let known = Set(lines.lazy.filter { $0.hasPrefix("id ") }.map { String($0.dropFirst(3)) })
        for (name, ids) in promised {
            let lost = ids.subtracting(known)
            if !lost.isEmpty { found.append("server: \(lost.count) acknowledged commits of \(name) are gone (P16)") }
        }
        return found
    }

    /// Syncs all reps until nothing moves, then says what is wrong: replicas unlike the server, writes that are gone,
    /// doubled or invented, counters that do not add up, words that vanished or came back (P1 to P4, P10, P11).
    package func settled(_ reps: inout [Rep]) async throws -> [String] {
        for pass in 1... {
            var moved = 0
            for rep in reps {
                if pass < 3 { try await rep.retryParked() }
                let summary = try await rep.replica.sync()
                moved += (summary["pushed"].number ?? 0) + (summary["pulled"].number ?? 0)
            }
            if moved == 0 { break }
            if pass == 10 { return ["still moving changes after 10 passes (P26)"] }
        }
        var found = try await serverFindings(reps.map(\.replica))
        let visits = reps.reduce(0) { $0 + $1.visits }
        let everything = reps.reduce(into: Set<String>()) { $0.formUnion($1.contacts) }
        for index in reps.indices {
            found += try await reps[index].findings()
            let rep = reps[index]
            let mine = try await rep.replica.dump()
            let user = String(rep.name.prefix { $0 != "~" })
            let server = try await server.dump("--as", user)
            if mine != server {
                found.append("\(rep.name): the dump differs from the server's: \(difference(mine, server))")
            }
            let seen = try await rep.replica.value("SELECT visits FROM customer WHERE id = '\(Rep.shared)'")
            if seen != String(visits) { found.append("\(rep.name): \(seen) visits, \(visits) were made") }
            let invented = rep.shown.subtracting(everything)
            if !invented.isEmpty { found.append("\(rep.name): nobody wrote \(invented.sorted().prefix(5))") }
            let missing = everything.subtracting(rep.shown)
            if !missing.isEmpty { found.append("\(rep.name): does not have \(missing.sorted().prefix(5))") }
        }
        return found + (try await wordFindings(reps, try await server.dump()))
    }

    /// The cell that everybody writes: each word is in the end the cell's, or was replaced by somebody who saw it, or
    /// is or was in the ledger (P2); and no replica shows a word again after one whose author had seen it (P10, P11).
    private func wordFindings(_ reps: [Rep], _ dump: String) async throws -> [String] {
        var found: [String] = []
        let words = reps.flatMap(\.words)
        let replaced = Set(words.map(\.over))
        for (word, _) in words where !replaced.contains(word) && !dump.contains(word) {
            // A loser leaves its entry when a later writer had seen it, and the log still has the entry.
            let log = try await Program.sqlite.run(
                [server.data.appendingPathComponent("workspace.sqlite").path],
                input: "SELECT position FROM peyk_log WHERE instr(entry, CAST('\(word)' AS BLOB)) ORDER BY position;")
            guard log.lines.count < 2 else { continue }
            found.append(
                "the word \(word) is neither there, nor replaced, nor was it in the ledger (P2); log: \(log.lines)")
        }
        let over = Dictionary(words.map { ($0.word, $0.over) }) { first, _ in first }
        for rep in reps {
            var past: Set<String> = []
            for word in rep.read {
                if past.contains(word) {
                    found.append("\(rep.name): read \(word) after a word whose author had seen it (P10)")
                }
                var former = over[word]
                while let word = former, past.insert(word).inserted { former = over[word] }
            }
        }
        return found
    }
}

/// At most a few lines in which two texts differ.
package func difference(_ left: String, _ right: String) -> String {
    let a = Set(left.split(separator: "\n"))
    let b = Set(right.split(separator: "\n"))
    let onlyLeft = a.subtracting(b).sorted().prefix(5).map { "− \($0)" }
    let onlyRight = b.subtracting(a).sorted().prefix(5).map { "+ \($0)" }
    return (onlyLeft + onlyRight).joined(separator: "\n")
}
