import Foundation
import PeykCRM
import Testing

@Suite("The order of names")
struct NameOrderTests {
    private func sorted(_ names: [String]) -> [String] {
        names.sorted { NameOrder.key($0).lexicographicallyPrecedes(NameOrder.key($1)) }
    }

    /// domain.md E4, as CLDR's Persian order gave it.
    static let persian = [
        "آرش", "احمد", "پروین", "چنگیز", "ژاله", "کاوه", "كاوه", "گلی", "واحد", "هما", "یوسف", "يوسف",
    ]

    @Test("is that of the Persian alphabet, with Arabic letters as their Persian forms")
    func alphabet() {
        let names = sorted(Self.persian.reversed())
        #expect(
            names.map { $0.replacing("ك", with: "ک").replacing("ي", with: "ی") } == [
                "آرش", "احمد", "پروین", "چنگیز", "ژاله", "کاوه", "کاوه", "گلی", "واحد", "هما", "یوسف", "یوسف",
            ])
    }

    @Test("is that of CLDR for names that differ in more than the form of a letter")
    func likeFoundation() {
        let names = [
            "آرش", "احمد", "پروین", "چنگیز", "ژاله", "کاوه", "گلی", "واحد", "هما", "یوسف", "بهمن", "بهار", "سارا",
            "ساره", "شیرین",
            "ثریا", "صدف", "ضحی", "طاهره", "ظفر", "عباس", "غزاله", "فرهاد", "قاسم", "لاله", "مریم", "نادر", "خسرو",
            "حسین", "جمشید",
            "تهمینه", "رستم", "زهرا", "ذوالفقار", "دارا",
        ]
        let locale = Locale(identifier: "fa_IR")
        #expect(sorted(names) == names.sorted { $0.compare($1, locale: locale) == .orderedAscending })
    }

    @Test("does not mind case, marks and half-spaces, and puts digits of every script first")
    func details() {
        #expect(sorted(["Zoe", "anna", "Émile", "emil", "Bob"]) == ["anna", "Bob", "emil", "Émile", "Zoe"])
        #expect(sorted(["می‌روم", "میروند", "میرود"]) == ["میرود", "می‌روم", "میروند"])
        #expect(sorted(["ب", "Z", "۲", "1", "-"]) == ["-", "1", "۲", "Z", "ب"])
        #expect(sorted(["Ann Lee", "Anna", "Ann"]) == ["Ann", "Ann Lee", "Anna"])
    }

    @Test(
        "tells names apart that differ at all, and takes any text", arguments: ["", "\0", "ﷺ", "日本", "👩‍👩‍👧", "e\u{301}"])
    func total(_ name: String) {
        #expect(NameOrder.key(name) == NameOrder.key(name))
        #expect(NameOrder.key(name) != NameOrder.key(name + "\u{200C}"))
        #expect(NameOrder.key(name).lexicographicallyPrecedes(NameOrder.key(name + "a")))
    }
}
