"""What WhatsApp itself writes into an export, in the languages of phones: markers of media, edits, deletions, calls.

Facts only, one table per kind; a phone writes one of them, in its own language. `fold` brings a text into the shape of
the tables. Where the export marks its own text with U+200E, the readers know it without these tables.
"""

from __future__ import annotations

__all__ = [
    "AFTER_NOON",
    "ATTACHED",
    "BEFORE_NOON",
    "CALLS",
    "DELETED",
    "EDITED",
    "FILE_ATTACHED",
    "MARKS",
    "MEDIA_LEFT_OUT",
    "MEDIA_OMITTED",
    "POLLS",
    "RENAMES",
    "RENAMES_TO",
    "SYSTEM_STARTS",
    "WAITING",
    "fold",
]

MARKS = dict.fromkeys((0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF))
"""Marks of writing direction, to be removed with str.translate."""


def fold(text: str) -> str:
    """The text without direction marks, case and closing full stop."""
    text = text.translate(MARKS).replace("\u00a0", " ").replace("\u202f", " ").strip()
    return text.rstrip(".。").casefold()


def _lines(text: str) -> tuple[str, ...]:
    return tuple(form for line in text.splitlines() for form in line.split(" | ") if form)


def _table(text: str) -> frozenset[str]:
    return frozenset(map(fold, _lines(text)))


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


BEFORE_NOON = _words("""
am a vm fm dop pd πμ öö de sa pg ص قظ 오전 午前 上午 凌晨 早上 清晨 半夜 पूर्वाह्न পূর্বাহ্ণ முற்பகல் ก่อนเที่ยง дп пробяд לפנהצ
""")
AFTER_NOON = _words("""
pm p nm em odp pop md μμ ös du ch ptg م بظ 오후 午後 下午 中午 傍晚 晚上 अपराह्न অপরাহ্ণ பிற்பகல் หลังเที่ยง пп слобяд אחהצ
""")
"""Words beside a time of twelve hours, without their points and spaces."""

MEDIA_OMITTED = _table("""
Media omitted | Medien ausgeschlossen | Medien weggelassen | Multimedia omitido | Archivo omitido
Médias omis
Fichier omis | Media omessi | Media omesso | Mídia oculta | Mídia omitida | Arquivo de mídia oculto
Ficheiro não revelado | Media weggelaten | Без медиафайлов | Медиафайл отсутствует | Без медіафайлів
Pominięto multimedia | Pominięte multimedia | Medya dahil edilmedi | Medya atlanmış | Media tidak disertakan
Media utelämnat | Media har utelämnats | Medier udeladt | Media udeladt | Media jätettiin pois | Media utelatt
Medier utelatt | Média vynechány | Média vynechána | Hiányzó médiatartalom | Fișier media omis
Conținut media omis | Παραλείφθηκαν πολυμέσα | تم استبعاد الوسائط | המדיה לא נכללה | मीडिया के बिना
メディアは含まれていません | メディアなし | 省略多媒体文件 | 媒体省略 | 忽略多媒體檔 | 省略多媒體檔案
미디어 파일 제외됨 | 미디어 파일을 생략한 대화내용
Bỏ qua tệp phương tiện
""")
"""Between < and > in Android exports without media."""

_KINDS_LEFT_OUT = {
    "image": "image omitted|Bild weggelassen|imagen omitida|image absente|image omise|immagine omessa|imagem ocultada"
    "|imagem omitida|afbeelding weggelaten|изображение отсутствует|зображення відсутнє|obraz pominięty|obraz pominięto"
    "|görüntü dahil edilmedi|gambar tidak disertakan|bild utelämnad|billede udeladt|kuva jätettiin pois|bilde utelatt"
    "|画像は含まれていません|画像が省略されました|图像已忽略|图片已忽略|省略圖片|이미지 생략됨|이미지 제외됨"
    "|صورة غير مدرجة|התמונה הושמטה",
    "video": "video omitted|Video weggelassen|video omitido|vídeo omitido|vidéo absente|vidéo omise|video omesso"
    "|vídeo ocultado|video weggelaten|видео отсутствует|відео відсутнє|video pominięte|wideo pominięto"
    "|video dahil edilmedi|video tidak disertakan|video utelämnad|video udeladt|video jätettiin pois|video utelatt"
    "|動画は含まれていません|视频已忽略|省略影片|동영상 생략됨|동영상 제외됨|סרטון הווידאו הושמט",
    "audio": "audio omitted|Audio weggelassen|audio omitido|audio omis|audio absent|audio omesso|áudio ocultado"
    "|áudio omitido|audio weggelaten|аудиофайл отсутствует|аудіо відсутнє|audio pominięte|ses dahil edilmedi"
    "|audio tidak disertakan|ljud utelämnat|lyd udeladt|ääni jätettiin pois|lyd utelatt|音声は含まれていません"
    "|音频已忽略|省略音訊|오디오 생략됨|오디오 제외됨|קובץ השמע הושמט",
    "sticker": "sticker omitted|Sticker weggelassen|sticker omitido|sticker omis|sticker non incluso|sticker omesso"
    "|figurinha omitida|sticker ocultado|sticker weggelaten|стикер отсутствует|наліпка відсутня|naklejka pominięta"
    "|Çıkartma dahil edilmedi|stiker tidak disertakan|klistermärke utelämnat|klistermærke udeladt"
    "|スタンプは含まれていません|贴图已忽略|省略貼圖|스티커 생략됨|스티커 제외됨|הסטיקר הושמט",
    "video ": "GIF omitted|GIF weggelassen|GIF omitido|GIF retiré|GIF absent|GIF esclusa|GIF omessa|GIF weggelaten"
    "|GIF отсутствует|GIF dahil edilmedi|GIF tidak disertakan|GIF utelämnad|GIF udeladt|GIF omitida"
    "|GIF pominięto|GIF生략됨|GIF 제외됨|省略 GIF|已忽略 GIF",
    "file": "document omitted|Dokument weggelassen|documento omitido|document omis|document absent|documento omesso"
    "|documento ocultado|document weggelaten|документ отсутствует|документ відсутній|dokument pominięty"
    "|belge dahil edilmedi|dokumen tidak disertakan|dokument utelämnat|dokument udeladt|ドキュメントは含まれていません"
    "|文档已忽略|省略文件|문서 생략됨|문서 제외됨|המסמך הושמט",
    "contact": "Contact card omitted|Kontaktkarte ausgelassen|Kontaktkarte weggelassen|Tarjeta de contacto omitida"
    "|Fiche contact omise|Carte de contact omise|Scheda contatto omessa|Cartão de contato omitido"
    "|Cartão do contato omitido"
    "|Contactkaart weggelaten|Карточка контакта отсутствует|Kişi kartı dahil edilmedi|Kartu kontak tidak disertakan",
}
MEDIA_LEFT_OUT = {fold(words): kind.strip() for kind, all_ in _KINDS_LEFT_OUT.items() for words in all_.split("|")}
"""What stands for media in iOS exports without media, and the kind of attachment it was."""

ATTACHED = _table("""
attached | Anhang | angehängt | adjunto | archivo adjunto | pièce jointe | fichier joint | allegato | anexado
anexo | bijgevoegd | bijlage | прикреплено | вложение | вкладено | załącznik | załączono | eklendi | ekli | ek
terlampir | bifogad | bifogat | vedhæftet | liitetty | vedlagt | příloha | مرفق | צורף | संलग्न | 添付ファイル
添付
附件 | 첨부 | 첨부됨
""")
"""In iOS exports with media: <attached: FILE>."""

FILE_ATTACHED = _table("""
file attached | Datei angehängt | archivo adjunto | fichier joint | file allegato | arquivo anexado
ficheiro anexado | bestand bijgevoegd | файл добавлен | файл додано | plik w załączniku | załączono plik
dosya ekli | dosya eklendi | file terlampir | bifogad fil | vedhæftet fil | tiedosto liitetty | fil vedlagt
soubor přiložen | fájl csatolva | fișier atașat | συνημμένο αρχείο | الملف مرفق | קובץ מצורף | फ़ाइल संलग्न है
添付ファイル | 文件附件 | 附件檔案 | 파일 첨부됨
""")
"""In Android exports with media: FILE (file attached)."""

EDITED = _table("""
This message was edited | Diese Nachricht wurde bearbeitet | Se editó este mensaje | Mensaje editado
Ce message a été modifié | Questo messaggio è stato modificato | Messaggio modificato | Mensagem editada
Esta mensagem foi editada | Dit bericht is bewerkt | Сообщение изменено | Это сообщение изменено
Данное сообщение изменено | Повідомлення змінено | Це повідомлення змінено | Ta wiadomość została edytowana
Wiadomość została edytowana | Wiadomość edytowana | Bu mesaj düzenlendi | Pesan ini diedit
Pesan ini telah diedit | Det här meddelandet redigerades | Meddelandet redigerades
Denne besked blev redigeret
Tätä viestiä muokattiin | Denne meldingen ble redigert | Tato zpráva byla upravena | تم تعديل هذه الرسالة
הודעה זו נערכה | यह मैसेज एडिट किया गया | यह संदेश संपादित किया गया | このメッセージは編集されました
此消息已编辑 | 此訊息已編輯
이 메시지가 수정되었습니다
""")
"""Between < and > behind an edited text."""

DELETED = _lines("""
This message was deleted | You deleted this message | This message was deleted by admin
Diese Nachricht wurde gelöscht | Du hast diese Nachricht gelöscht | Se eliminó este mensaje
Este mensaje fue eliminado | Eliminaste este mensaje | Ce message a été supprimé
Vous avez supprimé ce message
Questo messaggio è stato eliminato | Hai eliminato questo messaggio | Mensagem apagada
Esta mensagem foi apagada | Essa mensagem foi apagada | Você apagou esta mensagem | Você apagou essa mensagem
Esta mensagem foi eliminada | Eliminou esta mensagem | Apagou esta mensagem | Dit bericht is verwijderd
U hebt dit bericht verwijderd | Je hebt dit bericht verwijderd | Данное сообщение удалено
Это сообщение удалено | Сообщение удалено | Вы удалили данное сообщение | Вы удалили это сообщение
Це повідомлення видалено | Ви видалили це повідомлення | Ta wiadomość została usunięta
Wiadomość została usunięta | Usunięto tę wiadomość | Bu mesaj silindi | Bu mesajı sildiniz
Pesan ini telah dihapus | Pesan ini dihapus | Anda telah menghapus pesan ini | Anda menghapus pesan ini
Det här meddelandet har raderats | Det här meddelandet togs bort | Du raderade det här meddelandet
Du tog bort det här meddelandet | Denne besked blev slettet | Du slettede denne besked
Tämä viesti poistettiin
Poistit tämän viestin | Denne meldingen ble slettet | Du slettet denne meldingen | Tato zpráva byla smazána
Tuto zprávu jste smazali | تم حذف هذه الرسالة | حذفت هذه الرسالة | لقد حذفت هذه الرسالة | הודעה זו נמחקה
מחקת הודעה זו | מחקת את ההודעה הזו | यह मैसेज डिलीट कर दिया गया है | यह मैसेज डिलीट किया गया
यह संदेश हटाया गया | आपने यह मैसेज डिलीट कर दिया है | आपने यह मैसेज डिलीट किया
このメッセージは削除されました
このメッセージを削除しました | 此消息已删除 | 你已删除此消息 | 您已删除这条消息 | 此訊息已刪除
這則訊息已刪除 | 您已刪除此訊息 | 삭제된 메시지입니다 | 이 메시지는 삭제되었습니다
이 메시지를 삭제했습니다
""")

CALLS = _lines("""
Missed voice call | Missed video call | Missed group voice call | Missed group video call
Silenced voice call
Silenced video call | Verpasster Sprachanruf | Verpasster Videoanruf | Llamada perdida
Llamada de voz perdida
Videollamada perdida | Appel vocal manqué | Appel vidéo manqué | Chiamata vocale persa | Chiamata persa
Videochiamata persa | Chamada de voz perdida | Chamada de vídeo perdida | Ligação de voz perdida
Ligação de vídeo perdida | Gemiste spraakoproep | Gemiste video-oproep | Пропущенный голосовой вызов
Пропущенный аудиозвонок | Пропущенный видеозвонок | Пропущений голосовий виклик | Пропущений відеодзвінок
Nieodebrane połączenie głosowe | Nieodebrane połączenie wideo | Cevapsız sesli arama
Cevapsız görüntülü arama
Panggilan suara tak terjawab | Panggilan video tak terjawab | Missat röstsamtal | Missat videosamtal
Ubesvaret taleopkald | Ubesvaret videoopkald | مكالمة صوتية فائتة | مكالمة فيديو فائتة | שיחה קולית שלא נענתה
שיחת וידאו שלא נענתה | 不在着信 | 未接语音通话 | 未接视频通话 | 부재중 음성통화 | 부재중 영상통화
""")

WAITING = _lines("""
Waiting for this message. This may take a while | Waiting for this message
Warte auf diese Nachricht. Dies kann einen Moment dauern
Warten auf diese Nachricht. Dies kann eine Weile dauern | Esperando el mensaje. Esto puede tomar tiempo
En attente de ce message. Cela peut prendre un moment | In attesa del messaggio. Potrebbe richiedere del tempo
Aguardando mensagem. Essa ação pode levar alguns instantes | Wachten op dit bericht. Dit kan even duren
Ожидание сообщения. Это может занять некоторое время
""")
"""In place of a message that never reached the phone."""

POLLS = _lines("POLL:\nUMFRAGE:\nENCUESTA:\nSONDAGE :\nSONDAGE:\nSONDAGGIO:\nENQUETE:\nSONDAGEM:\nPEILING:\nОПРОС:\n"
               "ОПИТУВАННЯ:\nANKIETA:\nSONDA:\nANKET:\nPOLLING:\nJAJAK PENDAPAT:\nOMRÖSTNING:\nAFSTEMNING:\nKYSELY:\n"
               "アンケート:\n投票:\n투표:\nاستطلاع:\nסקר:")  # fmt: skip
"""The first line of a poll."""

SYSTEM_STARTS = _lines("""
Messages and calls are end-to-end encrypted | Messages to this chat and calls are now secured
Messages to this group are now secured | Messages you send to this
Nachrichten und Anrufe sind Ende-zu-Ende-verschlüsselt | Nachrichten, die du in diesem Chat sendest
Nachrichten, die du in diese Gruppe sendest | Los mensajes y las llamadas están cifrados de extremo a extremo
Los mensajes y llamadas están cifrados de extremo a extremo
Les messages et les appels sont chiffrés de bout en bout
Les messages et appels sont chiffrés de bout en bout
I messaggi e le chiamate sono crittografati end-to-end
As mensagens e as chamadas são protegidas com a criptografia
As mensagens e ligações são protegidas com a criptografia
As mensagens e as chamadas são encriptadas ponto a ponto
Berichten en gesprekken worden end-to-end versleuteld
Berichten en gesprekken zijn end-to-end versleuteld | Сообщения и звонки защищены сквозным шифрованием
Повідомлення та дзвінки захищено наскрізним шифруванням | Wiadomości i połączenia są
Mesajlar ve aramalar uçtan uca şifrelidir | Pesan dan panggilan terenkripsi secara end-to-end
Meddelanden och samtal är end-to-end-krypterade | Meddelanden och samtal är totalsträckskrypterade
Beskeder og opkald er end-to-end-krypterede | Viestit ja puhelut ovat täysin salattuja
Meldinger og anrop er ende-til-ende-krypterte | الرسائل والمكالمات مشفرة تمامًا بين الطرفين
ההודעות והשיחות מוצפנות מקצה לקצה | メッセージと通話はエンドツーエンドで暗号化されます
消息和通话都进行端到端加密 | 메시지와 통화는 종단간 암호화됩니다
""")
"""How the notice of encryption begins, which old iOS exports put under a person's name without any mark."""

RENAMES = _lines("""
changed the subject | changed the group | created group | created the group | hat den Betreff | hat die Gruppe
hast die Gruppe | hat den Gruppennamen | cambió el asunto | cambió el nombre del grupo | creó el grupo
Creaste el grupo | a changé le sujet | a changé le nom du groupe | a modifié le nom du groupe
a créé le groupe
ha cambiato l'oggetto | ha cambiato il nome del gruppo | ha creato il gruppo | mudou o assunto
mudou o nome do grupo | alterou o nome do grupo | alterou o assunto | criou o grupo | heeft het onderwerp
heeft de groep | heeft groep | изменил | создал | змінив | змінила | створив | створила | zmienił | utworzył
konuyu | grup adını | grubunu | grubu oluşturdu | mengubah subjek | mengubah nama grup | membuat grup
ändrade ämnet | ändrade gruppens | skapade gruppen | ændrede gruppens | oprettede gruppen | endret gruppens
vaihtoi ryhmän | loi ryhmän | غيّر | أنشأ | שינה | יצר | グループ名 | 更改了群组 | 变更了主题 | 변경했습니다
""")
"""In the row of a group that got a name: that name may hold a ": ", so that the row looks as if it had an author."""

RENAMES_TO = (
    "changed the subject to",
    "changed the group name to",
    "a changé le sujet",
    "a changé le nom du groupe",
    "a modifié le nom du groupe",
    "a créé le groupe",
)
"""How such a row ends where the app itself writes the `: ` before the name."""
