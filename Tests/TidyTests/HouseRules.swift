import Foundation

/// Rules about the text of a source file that neither the compiler nor `swift format` checks.
enum HouseRules {
    static let fileLinesMax = 400
    static let functionLinesMax = 70
    static let columnsMax = 120
    static let textColumnsMax = 160

    static func findings(in file: SwiftFile) -> [Finding] {
        size(file) + functions(file) + forbiddenCode(file) + uncheckedSendable(file) + bannedWords(file)
    }

    private static func size(_ file: SwiftFile) -> [Finding] {
        var found: [Finding] = []
        if file.lines.count > fileLinesMax {
            found.append(Finding(path: file.path, line: file.lines.count, what: "a file of over \(fileLinesMax) lines"))
        }
        // `swift format` keeps code within the limit and leaves texts whole, so a line with one may be longer.
        for (index, line) in file.lines.enumerated() where line.utf8.count > columnsMax {
            let limit = file.code[index].contains("\"") ? textColumnsMax : columnsMax
            if line.count > limit {
                found.append(Finding(path: file.path, line: index + 1, what: "a line of over \(limit) columns"))
            }
        }
        return found
    }

    // MARK: - Functions

    /// Functions and initialisers whose text, from their name to their last brace, is too long.
    private static func functions(_ file: SwiftFile) -> [Finding] {
        file.code.indices.compactMap { index in
            guard let word = declaration(in: file.code[index]), let length = length(of: file, from: index, after: word),
                length > functionLinesMax
            else { return nil }
            return Finding(path: file.path, line: index + 1, what: "a function of \(length) lines")
        }
    }

    /// The text up to and with `func` or `init`, where the line declares one.
    private static func declaration(in line: String) -> String? {
        guard line.contains("func ") || line.contains("init") else { return nil }
        return line.firstMatch(of: /^\s*(?:@\w+(?:\([^)]*\))?\s+|\w+\s+)*?(?:func\s|init[?!]?[(<])/).map {
            String($0.output)
        }
    }

    /// Lines from the declaration to the brace that ends its body; nil where it has none, as in a protocol.
    private static func length(of file: SwiftFile, from start: Int, after head: String) -> Int? {
        var brackets = head.hasSuffix("(") ? 1 : 0
        var braces = 0
        for index in start..<file.code.count {
            let line = file.code[index]
            if index > start, braces == 0, brackets == 0,
                line.contains(/^\s*(?:\w+\s+)*(?:func|var|init|case)\b/)
            {
                return nil
            }
            for character in index == start ? line.dropFirst(head.count) : line[...] {
                switch character {
                case "(", "[": brackets += 1
                case ")", "]": brackets -= 1
                case "{" where brackets == 0: braces += 1
                case "}" where brackets == 0:
                    if braces <= 1 { return braces == 1 ? index - start + 1 : nil }
                    braces -= 1
                default: break
                }
            }
        }
        return nil
    }

    // MARK: - Code

    private struct Ban: @unchecked Sendable {
        // No lock needed: a Regex is immutable here, the compiler cannot know it.
        var pattern: Regex<Substring>
        /// The pattern matches only where one of these stands: regular expressions are slow in debug builds.
        var hints: [String]
        var what: String
        var folders: Set<String>
    }

    private static let all: Set<String> = ["Client", "Protocol", "Server", "Sources", "Tests"]
    private static let bans: [Ban] = [
        Ban(pattern: /\btry!/, hints: ["try!"], what: "try!", folders: all),
        Ban(pattern: /\bas!/, hints: ["as!"], what: "as!", folders: all),
        Ban(
            pattern: /\bnonisolated\(unsafe\)/, hints: ["nonisolated(unsafe)"], what: "nonisolated(unsafe)",
            folders: all),
        Ban(
            pattern: /\bfatalError\b/, hints: ["fatalError"], what: "fatalError", folders: all.subtracting(["Tests"])),
        Ban(pattern: /\bprint\(/, hints: ["print("], what: "print", folders: ["Protocol"]),
        Ban(
            pattern:
                /\bDate\(|\bDate\.now|\b(?:Continuous|Suspending)Clock\b|\bDispatch|\bclock_gettime|\bgettimeofday/,
            hints: ["Date", "Clock", "Dispatch", "gettime"], what: "the time of day", folders: ["Protocol"]),
        Ban(
            pattern: /\.random\b|\brandomElement\b|\bshuffled?\(|\bSystemRandomNumberGenerator\b|\bUUID\(\)/,
            hints: ["random", "Random", "shuffle", "UUID()"], what: "randomness", folders: ["Protocol"]),
        Ban(
            pattern: /\bTask\s*[.({<]|\bTask\.|\bactor\s+[A-Z]|\basync\b|\bawait\b|\bwithTaskGroup\b/,
            hints: ["Task", "actor", "async", "await"], what: "tasks or actors", folders: ["Protocol"]),
        Ban(
            pattern: /\bFileManager\b|\bFileHandle\b|\bfopen\(|\bsocket\(|\bgetenv\(/,
            hints: ["File", "fopen", "socket(", "getenv"], what: "files or sockets", folders: ["Protocol"]),
    ]

    private static func forbiddenCode(_ file: SwiftFile) -> [Finding] {
        bans.filter { $0.folders.contains(file.folder) }.flatMap { ban in
            file.code.enumerated().filter { _, line in
                ban.hints.contains { line.contains($0) } && line.contains(ban.pattern)
            }.map {
                Finding(path: file.path, line: $0.offset + 1, what: "\(ban.what) in \(file.folder)/")
            }
        }
    }

    /// `@unchecked Sendable` needs a comment that names its lock or queue, on its line or just above its type.
    private static func uncheckedSendable(_ file: SwiftFile) -> [Finding] {
        file.code.indices.filter { file.code[$0].contains("@unchecked Sendable") }.compactMap { index in
            var comments = file.prose[index]
            var above = index - 1
            while above >= 0,
                file.lines[above].trimmingCharacters(in: .whitespaces).hasPrefix("//")
                    || file.lines[above].trimmingCharacters(in: .whitespaces).hasPrefix("@")
            {
                comments += file.prose[above]
                above -= 1
            }
            if index + 1 < file.prose.count { comments += file.prose[index + 1] }
            let words = ["lock", "queue", "mutex", "event loop", "thread", "immutable"]
            guard !words.contains(where: comments.lowercased().contains) else { return nil }
            return Finding(
                path: file.path, line: index + 1, what: "@unchecked Sendable without the name of its lock or queue")
        }
    }

    // MARK: - Words

    // Put together from parts, so that this file passes its own test.
    private static let words = ["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]
    private static let places = ["work", "tmp", "root", "home", "Users"].map { "/" + $0 + "/" }

    /// Promises for later, and paths that exist on one machine only.
    static func bannedWords(_ text: String) -> String? {
        if words.contains(where: { text.contains($0) }) {
            let tokens = text.split { !$0.isLetter && $0 != "_" }
            if let word = words.first(where: { tokens.contains(Substring($0)) }) { return "the word \(word)" }
        }
        for place in places {
            guard let range = text.range(of: place) else { continue }
            // `Client/home/…` is a path of ours; ` /home/…` is one of a machine's.
            let before = range.lowerBound == text.startIndex ? " " : text[text.index(before: range.lowerBound)]
            if !before.isLetter, !before.isNumber, !"_.-)}~".contains(before) { return "the machine's path \(place)" }
        }
        return nil
    }

    private static func bannedWords(_ file: SwiftFile) -> [Finding] {
        file.lines.enumerated().compactMap { index, line in
            bannedWords(line).map { Finding(path: file.path, line: index + 1, what: $0) }
        }
    }
}
